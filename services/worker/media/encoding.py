"""Encoding of pictures into bytes of a bounded size."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from kit.errors import InvalidArgument

QUALITY_MIN = 40
QUALITY_MAX = 95
QUALITY_STEP = 5
CHROMA_FULL = 0  # 4:4:4: halved chroma frays the edges of coloured type
THUMBNAIL_QUALITY = 80


@dataclass(frozen=True)
class Encoded:
    """Finished bytes of a picture.

    Attributes:
        data: The file.
        content_type: Its MIME type.
        quality: The JPEG quality that was used; 0 where there is none.
    """

    data: bytes
    content_type: str
    quality: int


def encode_jpeg(picture: Image.Image, quality: int, bytes_max: int) -> Encoded:
    """Encodes with the best quality, from ``quality`` downward, that fits into ``bytes_max``.

    Raises:
        InvalidArgument: Quality 40 does not fit, or the quality is not within 40 to 95.
    """
    if not QUALITY_MIN <= quality <= QUALITY_MAX:
        raise InvalidArgument.of("quality", f"must be {QUALITY_MIN} to {QUALITY_MAX}")
    for tried in [*range(quality, QUALITY_MIN, -QUALITY_STEP), QUALITY_MIN]:
        data = _jpeg(picture, tried)
        if len(data) < bytes_max:
            return Encoded(data, "image/jpeg", tried)
    raise _too_large(bytes_max)


def encode_png(picture: Image.Image, bytes_max: int) -> Encoded:
    """Encodes without loss.

    Raises:
        InvalidArgument: The file does not fit into ``bytes_max``.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    if buffer.tell() >= bytes_max:
        raise _too_large(bytes_max)
    return Encoded(buffer.getvalue(), "image/png", 0)


def encode_thumbnail(picture: Image.Image) -> bytes:
    """Encodes a small JPEG of quality 80."""
    return _jpeg(picture, THUMBNAIL_QUALITY)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    # Baseline: Pillow's buffer for progressive or optimised files is too small for noise.
    picture.convert("RGB").save(buffer, "JPEG", subsampling=CHROMA_FULL, quality=quality)
    return buffer.getvalue()


def _too_large(bytes_max: int) -> InvalidArgument:
    return InvalidArgument.of("bytes_max", f"the picture does not fit into {bytes_max} bytes")
