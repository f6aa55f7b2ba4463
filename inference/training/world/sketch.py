"""A small drawing surface with light: parts are filled shape by shape, then averaged down.

Coordinates are shares of the object's box: x to the right, y down, the object stands on y = 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

FINE_SIDE_PX = 44  # objects above this size are averaged from 2 x 2, smaller ones from 3 x 3
Points = Sequence[tuple[float, float]]
Tone = tuple[float, float, float]
WHITE: Tone = (252, 252, 250)
INK: Tone = (44, 42, 46)
GOLD: Tone = (214, 176, 98)
CANDLE: Tone = (255, 190, 60)
FloatArray = NDArray[np.float32]


class Shading(Enum):
    """How light falls on a part."""

    ROUND = "round"  # an upright cylinder: bright band on the lit side, dark far side
    BALL = "ball"  # bright towards the lamp, dark at the rim
    FLAT = "flat"  # a plane that gets a little darker downwards
    METAL = "metal"  # a cylinder with two bright bands
    CHROME = "chrome"  # polished: a dark horizon between bright bands
    CLOTH = "cloth"  # a plane with soft upright folds
    NONE = "none"  # the colour as it is


class Finish(Enum):
    """What parts in the object's own colour are made of; values are the world's material ids."""

    STRIPED = "striped"
    DOTTED = "dotted"
    METALLIC = "metallic"


def mix(a: Tone, b: Tone, share: float) -> Tone:
    """The tone that is `share` of the way from `a` to `b`."""
    low, high = np.asarray(a), np.asarray(b)
    red, green, blue = (low + (high - low) * share).tolist()
    return red, green, blue


def smooth(points: Points, steps: int = 6) -> list[tuple[float, float]]:
    """A closed Catmull-Rom curve through `points`."""
    knots = np.asarray(points, np.float32)
    before, after = np.roll(knots, 1, 0), np.roll(knots, -1, 0)
    beyond = np.roll(knots, -2, 0)
    t = (np.arange(steps, dtype=np.float32) / steps)[None, :, None]
    p0, p1, p2, p3 = (part[:, None] for part in (before, knots, after, beyond))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


class Sketch:
    """Draws one object. `light` is -1 (lamp on the left) or +1 (on the right).

    Parts whose tone is exactly `body` have the finish.
    """

    def __init__(
        self, side_px: int, light: int, body: Tone | None = None, finish: Finish | None = None
    ) -> None:
        self.side_px = side_px
        self.light = light
        self._body, self._finish = body, finish
        self._fold = 2 if side_px > FINE_SIDE_PX else 3
        self._size = side_px * self._fold
        self._colour = np.zeros((3, self._size, self._size), np.float32)  # premultiplied
        self._alpha = np.zeros((self._size, self._size), np.float32)
        self._cover = np.zeros((self._size, self._size), np.float32)
        self._stencil = Image.new("L", (self._size, self._size), 0)
        self._draw = ImageDraw.Draw(self._stencil)

    def polygon(
        self, points: Points, rgb: Tone, shading: Shading = Shading.ROUND, opacity: float = 1.0
    ) -> None:
        """Fills a polygon."""
        self._draw.polygon([(x * self._size, y * self._size) for x, y in points], fill=255)
        self._fill(rgb, shading, opacity)

    def ellipse(
        self,
        box: tuple[float, float, float, float],
        rgb: Tone,
        shading: Shading = Shading.ROUND,
        opacity: float = 1.0,
    ) -> None:
        """Fills the ellipse inside `box` (x0, y0, x1, y1)."""
        self._draw.ellipse([v * self._size for v in box], fill=255)
        self._fill(rgb, shading, opacity)

    def rectangle(
        self,
        box: tuple[float, float, float, float],
        rgb: Tone,
        shading: Shading = Shading.ROUND,
        opacity: float = 1.0,
        radius: float = 0.0,
    ) -> None:
        """Fills a rectangle whose corners have `radius`."""
        scaled = [v * self._size for v in box]
        self._draw.rounded_rectangle(scaled, radius=radius * self._size, fill=255)
        self._fill(rgb, shading, opacity)

    def line(
        self,
        points: Points,
        width: float,
        rgb: Tone,
        shading: Shading = Shading.NONE,
        opacity: float = 1.0,
    ) -> None:
        """Strokes a line through `points`."""
        scaled = [(x * self._size, y * self._size) for x, y in points]
        pixels = max(1, round(width * self._size))
        self._draw.line(scaled, fill=255, width=pixels, joint="curve")
        self._fill(rgb, shading, opacity)

    def ring(
        self,
        box: tuple[float, float, float, float],
        width: float,
        rgb: Tone,
        shading: Shading = Shading.ROUND,
        opacity: float = 1.0,
    ) -> None:
        """Strokes the ellipse inside `box`, `width` inwards."""
        pixels = max(1, round(width * self._size))
        self._draw.ellipse([v * self._size for v in box], outline=255, width=pixels)
        self._fill(rgb, shading, opacity)

    def tube(
        self,
        top: tuple[float, float],
        low: tuple[float, float],
        rgb: Tone,
        shading: Shading = Shading.ROUND,
        *,
        centre: float = 0.5,
        flat: float = 0.16,
        opacity: float = 1.0,
    ) -> None:
        """Fills an upright body with round ends; `top` and `low` are (y, half width)."""
        (y0, r0), (y1, r1) = top, low
        corners = [(centre - r0, y0), (centre + r0, y0), (centre + r1, y1), (centre - r1, y1)]
        self._draw.polygon([(x * self._size, y * self._size) for x, y in corners], fill=255)
        for y, r in (top, low):
            box = (centre - r, y - r * flat, centre + r, y + r * flat)
            self._draw.ellipse([v * self._size for v in box], fill=255)
        self._fill(rgb, shading, opacity)

    def finish(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Premultiplied colour (S, S, 3) 0-255, alpha (S, S) 0-1 and cover (S, S) 0-1."""
        colour = np.stack([self._shrink(plane) for plane in self._colour], -1)
        return colour, self._shrink(self._alpha), self._shrink(self._cover)

    def _shrink(self, plane: FloatArray) -> FloatArray:
        k = self._fold
        rows = sum((plane[i::k] for i in range(1, k)), plane[::k])
        blocks = sum((rows[:, i::k] for i in range(1, k)), rows[:, ::k])
        shrunk: FloatArray = blocks * np.float32(1 / (k * k))
        return shrunk

    def _fill(self, rgb: Tone, shading: Shading, opacity: float) -> None:
        box = self._stencil.getbbox()
        if box is None:
            return
        x0, y0, x1, y1 = box
        mask = np.asarray(self._stencil.crop(box), np.float32) * np.float32(1 / 255)
        self._stencil.paste(0, box)
        has_finish = self._finish is not None and rgb == self._body
        if has_finish and self._finish is Finish.METALLIC and shading is not Shading.NONE:
            shading = Shading.CHROME
        light = _light(shading, x1 - x0, y1 - y0, self.light)
        if sum(rgb) > 645:  # white things would burn out
            light = 1 - (1 - light) * np.float32(0.7) - np.float32(0.05)
        shine = np.maximum(light - 1, 0) * np.float32(60)  # so that black shines too
        share = mask if opacity == 1 else mask * np.float32(opacity)
        keep = 1 - share
        ink = _pattern(self._finish, box, self._size) if has_finish else None
        second = WHITE if sum(rgb) < 560 else mix(rgb, (30, 34, 60), 0.55)
        for channel, tone, other in zip(self._colour, rgb, second, strict=True):
            base = np.float32(tone) if ink is None else tone + (other - tone) * ink
            plane = channel[y0:y1, x0:x1]
            plane *= keep
            plane += np.minimum(light * base + shine, 255) * share
        alpha = self._alpha[y0:y1, x0:x1]
        alpha *= keep
        alpha += share
        cover = self._cover[y0:y1, x0:x1]
        np.maximum(cover, mask, out=cover)


def _light(shading: Shading, width: int, height: int, side: int) -> FloatArray:
    """Brightness factors that broadcast to (height, width), for a part that fills its box."""
    x = ((np.arange(width, dtype=np.float32) + 0.5) / width)[None]
    y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    x = x if side < 0 else 1 - x
    if shading is Shading.ROUND:
        light = 1.14 - 0.44 * x**1.5 + 0.18 * np.exp(-(((x - 0.22) / 0.09) ** 2))
    elif shading is Shading.BALL:
        squared = (x - 0.36) ** 2 + (y - 0.32) ** 2
        light = 1.2 - 1.0 * squared + 0.5 * np.exp(-squared / 0.012)
    elif shading is Shading.METAL:
        bright = 0.4 * np.exp(-(((x - 0.25) / 0.1) ** 2)) + 0.2 * np.exp(
            -(((x - 0.78) / 0.08) ** 2)
        )
        light = 0.82 + bright
    elif shading is Shading.CHROME:
        bands = np.sin(9.5 * x + 2.2 * y) * np.float32(0.3)
        light = 0.92 + bands + 0.75 * np.exp(-(((x + 0.25 * y - 0.36) / 0.07) ** 2))
    elif shading is Shading.CLOTH:
        light = 1.08 - 0.16 * x - 0.1 * y + 0.05 * np.sin(x * 15 + y * 3)
    elif shading is Shading.FLAT:
        light = 1.06 - 0.14 * y - 0.06 * x
    else:
        light = np.ones((1, 1), np.float32)
    factors: FloatArray = light.astype(np.float32)
    return factors


def _pattern(finish: Finish | None, box: tuple[int, int, int, int], size: int) -> FloatArray | None:
    """Shares (0-1) of the second colour in pixels `box` of a drawing `size` wide."""
    x0, y0, x1, y1 = box
    x = ((np.arange(x0, x1, dtype=np.float32) + 0.5) / size)[None]
    y = ((np.arange(y0, y1, dtype=np.float32) + 0.5) / size)[:, None]
    if finish is Finish.STRIPED:
        stripes = (np.sin(x * 52 + 0 * y) * 5 - 1.6).clip(0, 1)
        return np.float32(0.85) * stripes
    if finish is Finish.DOTTED:
        odd = np.mod(np.floor(y * 8), 2) * np.float32(0.5)
        across, down = np.mod(x * 8 + odd, 1) - 0.5, np.mod(y * 8, 1) - 0.5
        inside = (0.3 - np.sqrt(across**2 + down**2)) * 12
        return np.float32(0.9) * inside.clip(0, 1)
    return None
