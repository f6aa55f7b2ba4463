"""What a request brings along beside words: pictures, control, adapters. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

PICTURE_PIXELS_MAX = 4 << 20  # 2048 x 2048
CONTROL_KINDS = ("canny", "depth")
CONTROLS_MAX = 2
CONTROL_SCALE_MAX = 2.0
LORAS_MAX = 4
LORA_WEIGHT_MAX = 2.0
_LORA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Rule = tuple[str, bool, str]


@dataclass(frozen=True)
class Pixels:
    """A picture as bytes.

    Attributes:
        width: In pixels.
        height: In pixels.
        bands: 3 for RGB, 1 for a mask.
        data: Row by row from the top left, one byte per band.
    """

    width: int
    height: int
    bands: int
    data: bytes

    @property
    def whole(self) -> bool:
        """Whether the bytes are as many as the sides say, and no more than is allowed."""
        area = self.width * self.height
        sides = min(self.width, self.height) >= 1 and area <= PICTURE_PIXELS_MAX
        return sides and len(self.data) == area * self.bands


@dataclass(frozen=True)
class Control:
    """A drawing that the picture has to follow, through a ControlNet beside the model.

    Attributes:
        kind: One of :data:`CONTROL_KINDS`.
        image: RGB; what the drawing is made from or, if ``prepared``, the drawing itself.
        prepared: Whether ``image`` is an edge or depth map already. Depth is computed here only
            where a depth model lies beside the ControlNet.
        scale: How much it weighs, 0 to 2.
        start: Share of the steps before which it does not act, 0 to 1.
        end: Share of the steps after which it does not act, above ``start``.
    """

    kind: str
    image: Pixels
    prepared: bool = False
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def rules(self) -> Iterator[Rule]:
        """What must hold: field, whether it does, and how to say it."""
        kinds = ", ".join(CONTROL_KINDS)
        yield "controls.kind", self.kind in CONTROL_KINDS, f"must be one of {kinds}"
        yield "controls.image", _rgb(self.image), "must be RGB of at most 4 megapixels"
        yield "controls.scale", 0 <= self.scale <= CONTROL_SCALE_MAX, "must be 0 to 2"
        ordered = 0 <= self.start < self.end <= 1
        yield "controls.start", ordered, "must be at least 0 and below end, which is at most 1"


@dataclass(frozen=True)
class Lora:
    """A low-rank adapter beside the model.

    Attributes:
        name: Its folder or file, without the ending.
        weight: How much it weighs, -2 to 2.
    """

    name: str
    weight: float = 1.0

    def rules(self) -> Iterator[Rule]:
        """What must hold: field, whether it does, and how to say it."""
        named = _LORA_NAME.fullmatch(self.name) is not None
        yield "loras.name", named, "must be letters, digits, dots and dashes, 64 at most"
        yield "loras.weight", abs(self.weight) <= LORA_WEIGHT_MAX, "must be -2 to 2"


def picture_rules(image: Pixels | None, mask: Pixels | None) -> Iterator[Rule]:
    """What must hold of the picture to begin from and of its mask."""
    yield "image", image is None or _rgb(image), "must be RGB of at most 4 megapixels"
    sound = mask is None or (mask.whole and mask.bands == 1)
    yield "mask", sound, "must be one band of at most 4 megapixels"
    yield "mask", mask is None or image is not None, "needs an image"


def _rgb(pixels: Pixels) -> bool:
    return pixels.whole and pixels.bands == 3
