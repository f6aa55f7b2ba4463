"""Picture files and pixels. Pillow and numpy only."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.engine.errors import InvalidRequest

PIXELS_MAX = 25_000_000  # 5,000 x 5,000: 75 MB
FILE_BYTES_MAX = 50 << 20
FORMATS = ("PNG", "JPEG", "WEBP")
_PNG_COMPRESSION = 1  # lossless at every level; what is kept for good is encoded anew
_WHITE = (255, 255, 255)
# What Pillow says of files that are damaged, or that claim to be larger than it would unpack.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
_ORIENTATION = 0x0112  # EXIF 2.3, 4.6.4 A
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture file as pixels.

    Attributes:
        pixels: uint8 (height, width, 3), RGB; what was transparent keeps the colour that it hides.
        alpha: uint8 (height, width), or None where nothing is transparent.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None

    @property
    def on_white(self) -> NDArray[np.uint8]:
        """The pixels as they are seen on white paper."""
        if self.alpha is None:
            return self.pixels
        return _on_white(self.pixels, self.alpha)


def content_hash(data: bytes) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes, pixels_max: int = PIXELS_MAX) -> Decoded:
    """Reads a PNG, JPEG or WebP, upright as its EXIF says.

    Its size is looked at before a pixel is unpacked.

    Raises:
        InvalidRequest: It is no such file, or it is too large.
    """
    if len(data) > FILE_BYTES_MAX:
        raise InvalidRequest(f"a picture file has at most {FILE_BYTES_MAX >> 20} MiB")
    with opening(data) as opened:
        if opened.width * opened.height > pixels_max:
            raise InvalidRequest(f"a picture has at most {pixels_max:,} pixels")
        return _pixels(_upright(opened))


@contextmanager
def opening(data: bytes, formats: Sequence[str] = FORMATS) -> Iterator[Image.Image]:
    """A picture file of which no pixel is unpacked yet.

    Raises:
        InvalidRequest: It cannot be read, or what is done inside the block says so.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limits are lower; odd EXIF is passed over
            with Image.open(io.BytesIO(data), formats=formats) as opened:
                yield opened
    except _UNREADABLE as error:
        raise InvalidRequest("the picture cannot be read") from error


def pixels_said(data: bytes) -> int:
    """How many pixels a picture file says it has, none of them unpacked; 0 if it says nothing."""
    try:
        with opening(data) as opened:
            return opened.width * opened.height
    except InvalidRequest:
        return 0  # reading it will say what is wrong


def encode_png(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> bytes:
    """Writes pixels without loss."""
    whole = pixels if alpha is None else np.dstack([pixels, alpha])
    out = io.BytesIO()
    Image.fromarray(whole).save(out, "PNG", compress_level=_PNG_COMPRESSION)
    return out.getvalue()


def encode_jpeg(
    pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None, quality: int = 90
) -> bytes:
    """Writes pixels with a loss that the eye hardly sees; what is transparent becomes white."""
    seen = pixels if alpha is None else _on_white(pixels, alpha)
    out = io.BytesIO()
    Image.fromarray(seen).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _upright(opened: Image.Image) -> Image.Image:
    """Turned as its EXIF says; as it lies where that cannot be read, which is what viewers do."""
    try:
        turn = _TURNS.get(opened.getexif().get(_ORIENTATION, 1))
    except Exception:  # odd EXIF raises a dozen things in Pillow: TypeError, KeyError, struct.error
        turn = None
    return opened if turn is None else opened.transpose(turn)


def _pixels(opened: Image.Image) -> Decoded:
    if not opened.has_transparency_data:
        return Decoded(np.array(opened.convert("RGB")), None)
    whole = np.array(opened.convert("RGBA"))
    return Decoded(np.ascontiguousarray(whole[..., :3]), np.ascontiguousarray(whole[..., 3]))


def _on_white(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    paper = Image.new("RGB", (pixels.shape[1], pixels.shape[0]), _WHITE)
    paper.paste(Image.fromarray(pixels), mask=Image.fromarray(alpha))
    return np.array(paper)
