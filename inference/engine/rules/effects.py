"""What each kind of change does to a rectangle of a picture.

An effect paints the whole rectangle as if the change were made everywhere; :mod:`.apply` then
takes of it what the weights say. All pictures are uint8 (height, width, 3), RGB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from inference.engine.pictures.masks import Bits, Box
from inference.engine.rules import chroma, colour
from inference.engine.rules.colour import Pixels
from inference.engine.rules.document import Change

Images = Mapping[str, Pixels]
# Red and blue at the ends of "temperature", against each other.
_WARMTH = 0.2
_BRIGHTNESS_LEVELS = 64.0
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as cv2.COLOR_RGB2GRAY
_SHADING_STEPS = 64.0
_BLUR_RADIUS_MAX_PX = 5.0


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of a picture that is about to change.

    Attributes:
        pixels: As it is.
        weights: Where the change will be seen, of the same size.
        box: Where it lies.
    """

    pixels: Pixels
    weights: Bits
    box: Box


class Effect(Protocol):
    """One change, ready to be painted."""

    opaque: bool
    """Whether what it paints covers transparency."""
    heeds_weights: bool
    """Whether it mixes by itself; else the change is painted as if it were made everywhere."""

    def paint(self, patch: Patch) -> Pixels:
        """The rectangle with the change."""

    def mix(self, before: Pixels, after: Pixels, weights: Bits) -> Pixels:
        """What lies between two pictures; weight 0 is `before`, 255 is `after`."""


class _Mixed:
    """Mixes as light is coded, which is what an eye takes for even."""

    opaque = False
    heeds_weights = False

    def mix(self, before: Pixels, after: Pixels, weights: Bits) -> Pixels:
        share = weights.astype(np.float32) / 255
        return cv2.blendLinear(after, before, share, 1 - share)


@dataclass(frozen=True)
class Recolour(_Mixed):
    """A colour in place of the old one, as light or dark as each pixel was.

    Lightness carries the texture. The new pixel follows from the old one's lightness alone, so
    that one look-up takes the place of the way to Lab and back.
    """

    colour: str

    def paint(self, patch: Patch) -> Pixels:
        return chroma.painted(patch.pixels, chroma.ramp(self.colour))

    def mix(self, before: Pixels, after: Pixels, weights: Bits) -> Pixels:  # noqa: ARG002
        """Mixes chroma only: halfway between two colours there would be a dark seam."""
        return chroma.mixed(before, weights * np.float32(1 / 255), chroma.ramp(self.colour))


@dataclass(frozen=True)
class Tint(_Mixed):
    """A part of the way to another colour, as light or dark as each pixel was."""

    colour: str
    strength: float
    heeds_weights = True

    def paint(self, patch: Patch) -> Pixels:
        share = patch.weights * np.float32(self.strength / 255)
        return chroma.mixed(patch.pixels, share, chroma.ramp(self.colour))


@dataclass(frozen=True)
class Tone(_Mixed):
    """Warmer, richer, lighter, harder: one affine map of RGB, each setting from -1 to 1."""

    temperature: float
    saturation: float
    brightness: float
    contrast: float

    @property
    def matrix(self) -> np.ndarray:
        """float32 (3, 4): what is multiplied and added."""
        gain = 2.0**self.contrast
        shift = 127.5 * (1 - gain) + _BRIGHTNESS_LEVELS * self.brightness
        warm = np.array([1 + _WARMTH * self.temperature, 1, 1 - _WARMTH * self.temperature])
        # Saturation turns around the grey of the same luma.
        rich = np.eye(3) + self.saturation * (np.eye(3) - _LUMA)
        mixed = gain * warm[:, None] * rich
        return np.column_stack([mixed, np.full(3, shift)]).astype(np.float32)

    def paint(self, patch: Patch) -> Pixels:
        return cv2.transform(patch.pixels, self.matrix)


@dataclass(frozen=True)
class Texture(_Mixed):
    """A pattern laid over a part, in rows from the picture's corner, in the light that fell there.

    The light is the old grey against the mean grey of the part.
    """

    tile: Pixels
    strength: float
    shading: float
    opaque = True

    def paint(self, patch: Patch) -> Pixels:
        laid = self._laid(patch.box)
        if self.shading:
            laid = self._lit(laid, patch)
        if self.strength < 1:
            laid = cv2.addWeighted(laid, self.strength, patch.pixels, 1 - self.strength, 0)
        return laid

    def _laid(self, box: Box) -> Pixels:
        rows, columns = self.tile.shape[:2]
        top, left = box.y % rows, box.x % columns
        again = (-(-(top + box.height) // rows), -(-(left + box.width) // columns))
        return cv2.repeat(self.tile, *again)[top : top + box.height, left : left + box.width]

    def _lit(self, laid: Pixels, patch: Patch) -> Pixels:
        grey = cv2.cvtColor(patch.pixels, cv2.COLOR_RGB2GRAY)
        mean = max(cv2.mean(grey, patch.weights)[0], 1.0)
        light = (np.arange(256) / mean) ** self.shading
        steps = np.clip(np.rint(light * _SHADING_STEPS), 0, 255).astype(np.uint8)
        lit = cv2.applyColorMap(grey, np.repeat(steps, 3).reshape(256, 1, 3))
        return cv2.multiply(laid, lit, scale=1 / _SHADING_STEPS)


@dataclass(frozen=True)
class Fill(_Mixed):
    """One colour."""

    colour: str
    opaque = True

    def paint(self, patch: Patch) -> Pixels:
        pixel = colour.from_hex(self.colour).reshape(1, 1, 3)
        height, width = patch.weights.shape
        return cv2.copyMakeBorder(pixel, 0, height - 1, 0, width - 1, cv2.BORDER_REPLICATE)


@dataclass(frozen=True)
class Backdrop(_Mixed):
    """Another picture, already as large as the whole one."""

    whole: Pixels
    opaque = True

    def paint(self, patch: Patch) -> Pixels:
        box = patch.box
        return self.whole[box.y : box.y + box.height, box.x : box.x + box.width]


@dataclass(frozen=True)
class Blur(_Mixed):
    """Out of focus, without what lies beside it bleeding in: only the part itself is averaged."""

    radius_px: float

    def paint(self, patch: Patch) -> Pixels:
        height, width = patch.weights.shape
        # A wide blur leaves nothing that a smaller picture would not hold.
        shrink = max(1.0, self.radius_px / _BLUR_RADIUS_MAX_PX)
        size = (max(1, math.ceil(width / shrink)), max(1, math.ceil(height / shrink)))
        share = patch.weights.astype(np.float32) / 255
        light = patch.pixels.astype(np.float32) * share[..., None]
        sigma = self.radius_px / shrink
        light, share = (
            cv2.GaussianBlur(cv2.resize(each, size, interpolation=cv2.INTER_AREA), (0, 0), sigma)
            for each in (light, share)
        )
        blurred = light / np.maximum(share, 1e-6)[..., None]
        blurred = np.clip(np.rint(blurred), 0, 255).astype(np.uint8)
        return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR)


def effect_of(change: Change, images: Images, height: int, width: int) -> Effect | None:
    """The effect of a change on a picture of that size; None: it changes nothing.

    "remove" has none: it changes transparency only.
    """
    settings = change.settings
    if settings.get("strength") == 0 or (change.kind == "tone" and not any(settings.values())):
        return None
    return _MAKERS[change.kind](change, images, height, width)


def _recolouring(colour: str, strength: float) -> Effect:
    return Recolour(colour) if strength == 1 else Tint(colour, strength)


def _texture(change: Change, images: Images, height: int, width: int) -> Effect:
    settings, scale = change.settings, change.settings["scale"]
    # What would lie beyond the picture is cut off first: a large pattern may be made much larger.
    tile = images[settings["image"]][: math.ceil(height / scale), : math.ceil(width / scale)]
    size = [max(1, round(side * scale)) for side in tile.shape[1::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile = cv2.resize(tile, size, interpolation=how)
    return Texture(tile, settings["strength"], settings["shading"])


def _replacement(change: Change, images: Images, height: int, width: int) -> Effect:
    if "colour" in change.settings:
        return Fill(change.settings["colour"])
    return Backdrop(cover(images[change.settings["image"]], height, width))


_MAKERS: dict[str, Callable[[Change, Images, int, int], Effect | None]] = {
    "recolour": lambda change, *_: _recolouring(**change.settings),
    "tone": lambda change, *_: Tone(**change.settings),
    "texture": _texture,
    "replace": _replacement,
    "remove": lambda *_: None,
    "blur": lambda change, *_: Blur(**change.settings),
}


def cover(image: Pixels, height: int, width: int) -> Pixels:
    """Cuts a picture evenly to the shape of a size, and scales it to that size."""
    scale = max(height / image.shape[0], width / image.shape[1])
    rows = min(image.shape[0], max(1, round(height / scale)))
    columns = min(image.shape[1], max(1, round(width / scale)))
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    cut = image[top : top + rows, left : left + columns]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(cut, (width, height), interpolation=how)
