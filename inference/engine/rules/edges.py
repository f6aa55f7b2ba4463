"""Where a change is seen and how much: masks with soft edges, never on what is protected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from inference.engine.pictures.masks import Bits, Box, Mask


@dataclass(frozen=True)
class Weights:
    """How much of a change is seen.

    Attributes:
        box: Where, in the picture.
        weights: uint8 (box.height, box.width), 0: not at all, 255: all of it.
    """

    box: Box
    weights: Bits

    @property
    def nothing(self) -> bool:
        """Whether the change is seen nowhere."""
        return not self.weights.any()

    @classmethod
    def of(cls, area: Mask, around: bool, protected: Mask, feather_px: int) -> Self:
        """Takes what is protected out of an area, then softens its edge.

        The edge is a straight ramp from `feather_px` outside the area to as much inside. It is
        cut off where something is protected: there the weight is 0 whatever lies beside it.

        Args:
            area: What changes.
            around: Whether everything but the area changes instead.
            protected: What does not change.
            feather_px: Half the width of the soft edge; 0: none.
        """
        box = _grown(Box(0, 0, area.width, area.height) if around else area.box, area, feather_px)
        if not (box.width and box.height):
            return cls(box, area.bits)
        bits = cv2.bitwise_not(area.window(box)) if around else area.window(box)
        free = cv2.bitwise_not(protected.window(box))
        bits = cv2.bitwise_and(bits, free)
        if feather_px:
            side = 2 * feather_px + 1
            bits = cv2.blur(bits, (side, side), borderType=cv2.BORDER_REPLICATE)
            bits = cv2.bitwise_and(bits, free)
        return cls(box, bits)


def inpaint_mask(kept: Mask, grow_px: int = 0, feather_px: int = 8) -> Bits:
    """What to paint so that a product stays as it is: everything around it.

    Args:
        kept: The product.
        grow_px: Keeps so many pixels around it too; negative: paints so far over its edge.
        feather_px: Over how many pixels, outwards from there, painting sets in.

    Returns:
        uint8 (height, width): 0 is kept exactly, 255 is painted anew.
    """
    whole = kept.whole()
    if not whole.any():
        return cv2.bitwise_not(whole)
    outside = cv2.distanceTransform(cv2.bitwise_not(whole), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = outside - grow_px
    if grow_px < 0:
        # Whatever lies beyond the picture belongs to what is kept: its border is no edge.
        framed = cv2.copyMakeBorder(whole, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        inside = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        # 0 for the outermost pixel of what is kept, as it is 1 for the first beyond.
        distance = np.where(whole, 1 - inside, outside) - grow_px
    # The first pixel beyond what is kept is already 1 px away from it.
    ramp = distance / (feather_px + 1) if feather_px else (distance > 0).astype(np.float32)
    return np.rint(np.clip(ramp, 0, 1) * 255).astype(np.uint8)


def _grown(box: Box, area: Mask, by_px: int) -> Box:
    """A box with a margin, within the picture."""
    if not (box.width and box.height):
        return Box(0, 0, 0, 0)
    left, top = max(0, box.x - by_px), max(0, box.y - by_px)
    right = min(area.width, box.x + box.width + by_px)
    bottom = min(area.height, box.y + box.height + by_px)
    return Box(left, top, right - left, bottom - top)
