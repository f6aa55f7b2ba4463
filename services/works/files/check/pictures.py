"""Pictures: held against their headers, decoded, turned upright, brought to sRGB, encoded anew.

What is stored are pixels only: no metadata, no profile, 8 bits a channel.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
import warnings
from typing import Any, BinaryIO

from PIL import (
    GifImagePlugin,
    Image,
    ImageCms,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from services.works.files.check.structure import Shape, shape_of
from services.works.files.check.verdict import (
    STORED_AS,
    Accepted,
    Limits,
    Refused,
    Task,
    animated,
    damaged,
    too_complex,
)

THUMBNAIL_LONG_SIDE = 320
THUMBNAIL_QUALITY = 80
PROFILE_BYTES_MAX = 4 << 20
_ORIENTATION = 0x0112  # EXIF 2.3
_EXIF_NAME = re.compile(rb"^(Exif\x00\x00){1,2}")
_EXIF_STARTS = (b"II*\0", b"MM\0*")
# JPEG: the first that fits into the bucket. WebP and thumbnails fit always, or are refused.
QUALITIES = (92, 85, 75)
_OPENERS: dict[str, Any] = {
    # Not Image.open: it would take a JPEG with appended pictures for an animation.
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/png": PngImagePlugin.PngImageFile,
    "image/gif": GifImagePlugin.GifImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
}
# The colour space that a profile must have, as its header names it, by the picture's mode.
_SPACES = {"L": "GRAY", "RGB": "RGB ", "RGBA": "RGB ", "CMYK": "CMYK"}


def warm_up() -> None:
    """Loads all that is needed, while it still can be: decoders import some of it late."""
    Image.preinit()
    one, exif = Image.new("RGB", (2, 2)), Image.Exif()
    exif[_ORIENTATION] = 1
    for name in ("PNG", "JPEG", "WEBP"):
        written = io.BytesIO()
        one.save(written, name, exif=exif)
        again = Image.open(io.BytesIO(written.getvalue()))
        again.load()
        again.getexif().get(_ORIENTATION)
    _to_srgb(one, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def check(task: Task) -> Accepted:
    """Checks a picture and writes it anew.

    Raises:
        Refused: It is not let in.
    """
    Image.MAX_IMAGE_PIXELS = None  # our own limit comes first, and knows no warning
    with mmap.mmap(task.source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        shape = shape_of(task.content_type, data)
        _check_size(shape, task.limits)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of broken metadata Pillow only warns
        try:
            picture, sampling = _decode(task.content_type, task.source, shape)
        except Refused:
            raise
        except Exception as error:
            raise _fault(error) from error
    stored_as = STORED_AS.get(task.content_type, task.content_type)
    _encode(picture, _options(stored_as, shape, sampling), task.target, task.limits)
    _thumbnail(picture, task.thumbnail)
    return Accepted(stored_as, picture.width, picture.height, has_thumbnail=True)


def _fault(error: Exception) -> Exception:
    if isinstance(error, MemoryError | PermissionError | ImportError):
        return error  # the last two: what was not loaded in time; not the picture's fault
    if isinstance(error, ValueError) and "too large" in str(error):
        return too_complex("what is beside the pixels is larger than it may be")
    return damaged("the picture cannot be decoded")


def _check_size(shape: Shape, limits: Limits) -> None:
    if not (shape.width and shape.height):
        raise damaged("the picture has no pixels")
    if (
        max(shape.width, shape.height) > limits.side_max
        or shape.width * shape.height > limits.pixels_max
    ):
        raise Refused(
            "FILE_DIMENSIONS_TOO_LARGE",
            f"{shape.width} x {shape.height} pixels are too many",
            width=shape.width,
            height=shape.height,
            pixels_max=limits.pixels_max,
            side_max=limits.side_max,
        )


def _decode(content_type: str, source: BinaryIO, shape: Shape) -> tuple[Image.Image, int]:
    """Returns the picture upright in sRGB as L, LA, RGB or RGBA, and its JPEG sampling."""
    source.seek(0)
    picture: Image.Image = _OPENERS[content_type](source)
    if picture.size != (shape.width, shape.height):
        raise damaged("the picture is not as large as its header says")
    if getattr(picture, "n_frames", 1) > 1 and content_type != "image/jpeg":
        raise animated()
    picture.load()
    sampling = JpegImagePlugin.get_sampling(picture) if content_type == "image/jpeg" else -1
    profile = picture.info.get("icc_profile") or b""
    exif = _EXIF_NAME.sub(b"", picture.info.get("exif") or b"")
    if exif and not exif.startswith(_EXIF_STARTS):
        raise damaged("the EXIF data cannot be read")
    orientation = picture.getexif().get(_ORIENTATION, 1)
    picture = _eight_bits(picture)
    if profile:
        picture = _to_srgb(picture, profile)
    elif picture.mode == "CMYK":
        picture = picture.convert("RGB")
    picture = _upright(picture, orientation)
    picture.info = {}  # else an encoder would write its comments and its profile again
    return picture, sampling


def _eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits of grey; convert() would cut them off, not scale
        return picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.mode in {"1", "L"} and "transparency" not in picture.info:
        return picture.convert("L")
    if picture.mode in {"LA", "RGBA", "RGB", "CMYK"} and "transparency" not in picture.info:
        return picture
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _upright(picture: Image.Image, orientation: object) -> Image.Image:
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


# By the value of that tag.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _to_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    if picture.mode == "LA":
        picture = picture.convert("RGBA")
    if len(profile) > PROFILE_BYTES_MAX:
        raise too_complex("the colour profile is larger than it may be")
    (said,) = struct.unpack(">I", profile[:4].rjust(4, b"\xff"))
    if said > len(profile):
        raise damaged("the colour profile is cut off")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space
        if picture.mode in {"L", "RGBA"} and space != _SPACES[picture.mode]:
            # Grey pixels with a profile of colours, and palettes of grey with one of grey.
            picture = picture.convert("RGB" if picture.mode == "L" else "RGBA")
        if space != _SPACES[picture.mode]:
            raise damaged("the colour profile is of another kind of picture")
        wanted = ImageCms.createProfile("sRGB")
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(picture, source, wanted, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, struct.error):
        raise damaged("the colour profile cannot be read") from None
    assert converted is not None, "only conversions in place return nothing"
    return converted


def _options(content_type: str, shape: Shape, sampling: int) -> list[dict[str, Any]]:
    """Returns how to encode a picture, best first."""
    if content_type == "image/png":
        return [{"format": "PNG", "compress_level": 3}]
    if content_type == "image/webp":
        if shape.is_lossless:  # at more effort 25 megapixels take 10 s
            return [{"format": "WEBP", "lossless": True, "method": 0, "quality": 20, "exact": True}]
        return [{"format": "WEBP", "method": 2, "quality": 90}]
    kept = {"subsampling": sampling} if sampling in {0, 1, 2} else {}
    return [{"format": "JPEG", "quality": each, **kept} for each in QUALITIES]


def _encode(
    picture: Image.Image, attempts: list[dict[str, Any]], target: BinaryIO, limits: Limits
) -> None:
    for options in attempts:
        target.seek(0)
        target.truncate()
        try:
            picture.save(target, **options)
            target.flush()
        except PermissionError:
            raise
        except OSError:
            continue  # past the limit of what may be written
        if target.seek(0, io.SEEK_END) <= limits.bytes_max:
            return
    raise Refused(
        "FILE_TOO_LARGE",
        f"encoded anew it has more than {limits.bytes_max} bytes",
        bytes_max=limits.bytes_max,
    )


def _thumbnail(picture: Image.Image, target: BinaryIO) -> None:
    small = picture.copy() if max(picture.size) <= THUMBNAIL_LONG_SIDE else _smaller(picture)
    if small.mode in {"LA", "RGBA"}:
        ground = Image.new("RGBA", small.size, "white")
        small = Image.alpha_composite(ground, small.convert("RGBA"))
    small.convert("RGB").save(target, "JPEG", quality=THUMBNAIL_QUALITY)
    target.flush()


def _smaller(picture: Image.Image) -> Image.Image:
    """Scales down; by whole steps first, so that a large picture is not copied for it."""
    ratio = THUMBNAIL_LONG_SIDE / max(picture.size)
    size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
