"""Pictures of any size made to fit a model's: scaled to cover it, the middle kept."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.engine.material import Pixels
from inference.engine.shapes import Size


def covering(pixels: Pixels, size: Size, sharp: bool = False) -> NDArray[np.uint8]:
    """Scales a picture until it covers a size and cuts what stands out on both sides alike.

    A picture of that very size is returned as it is, byte for byte.

    Args:
        pixels: The picture.
        size: What it has to cover.
        sharp: Takes the nearest pixel instead of a mean, so that edges stay edges.

    Returns:
        uint8 (height, width, 3), or (height, width) for one band.
    """
    given = np.frombuffer(pixels.data, np.uint8).reshape(pixels.height, pixels.width, -1)
    if (pixels.width, pixels.height) != size:
        scale = max(size.width / pixels.width, size.height / pixels.height)
        width = max(size.width, round(pixels.width * scale))
        height = max(size.height, round(pixels.height * scale))
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        how = cv2.INTER_NEAREST if sharp else smooth
        given = cv2.resize(given, (width, height), interpolation=how).reshape(height, width, -1)
        left, top = (width - size.width) // 2, (height - size.height) // 2
        given = given[top : top + size.height, left : left + size.width]
    given = given.copy()  # bytes cannot be written to, and torch warns of that
    return given if pixels.bands > 1 else given[:, :, 0]


def stretched(mask: Pixels, width: int, height: int) -> Pixels:
    """Scales a mask to the size of its picture, whatever its own sides are."""
    if (mask.width, mask.height) == (width, height):
        return mask
    given = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width)
    made = cv2.resize(given, (width, height), interpolation=cv2.INTER_LINEAR)
    return Pixels(width, height, 1, made.tobytes())


def over(
    kept: NDArray[np.uint8], drawn: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Lays what was drawn over what is kept: where the mask is 0 not one byte differs."""
    weight = mask[:, :, None].astype(np.uint32)
    mixed = (kept * (255 - weight) + drawn * weight + 127) // 255
    return mixed.astype(np.uint8)
