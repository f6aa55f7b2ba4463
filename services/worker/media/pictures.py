"""Opening, cropping and scaling of pictures."""

from __future__ import annotations

import io

from PIL import Image

from kit.errors import InvalidArgument

PIXELS_MAX = 4096 * 4096
LONG_SIDE_MIN, LONG_SIDE_MAX = 64, 4096
THUMBNAIL_LONG_SIDE = 320


def open_picture(data: bytes) -> Image.Image:
    """Decodes a picture to RGB.

    Raises:
        InvalidArgument: It has more than 16.8 million pixels.
        OSError: It is no picture.
    """
    picture = Image.open(io.BytesIO(data))  # reads the header only
    if picture.width * picture.height > PIXELS_MAX:
        raise InvalidArgument.of("image", f"must have at most {PIXELS_MAX} pixels")
    return picture.convert("RGB")


def ratio_of(aspect: str) -> float:
    """Returns width over height of an aspect, for example 1.78 for ``16:9``."""
    width, _, height = aspect.partition(":")
    return int(width) / int(height)


def size_of(aspect: str, long_side: int) -> tuple[int, int]:
    """Returns width and height in pixels of an aspect whose longer side is ``long_side``."""
    ratio = ratio_of(aspect)
    if ratio >= 1:
        return long_side, round(long_side / ratio)
    return round(long_side * ratio), long_side


def crop_to_aspect(picture: Image.Image, aspect: str) -> Image.Image:
    """Cuts the middle out of a picture so that it has the aspect."""
    ratio = ratio_of(aspect)
    width = min(picture.width, round(picture.height * ratio))
    height = min(picture.height, round(picture.width / ratio))
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + max(width, 1), top + max(height, 1)))


def fit(picture: Image.Image, aspect: str, long_side: int) -> Image.Image:
    """Crops to the aspect and scales (Lanczos) so that the longer side has ``long_side`` pixels.

    Raises:
        InvalidArgument: ``long_side`` is not within 64 to 4096.
    """
    if not LONG_SIDE_MIN <= long_side <= LONG_SIDE_MAX:
        message = f"must be {LONG_SIDE_MIN} to {LONG_SIDE_MAX} pixels"
        raise InvalidArgument.of("long_side", message)
    size = size_of(aspect, long_side)
    return crop_to_aspect(picture, aspect).resize(size, Image.Resampling.LANCZOS)


def thumbnail(picture: Image.Image) -> Image.Image:
    """Returns a copy whose longer side has at most 320 pixels."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL_LONG_SIDE, THUMBNAIL_LONG_SIDE), Image.Resampling.LANCZOS)
    return small
