"""Contrast as WCAG 2 measures it, and the veil that text needs over a part of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3 level AA
CONTRAST_AIM = 5.5  # with room for the 2 % that is not counted
VEIL_MAX = 0.94
VEIL_STEP = 0.03
# Fine texture disturbs reading even where contrast is high. It is measured as the mean step of
# luminance between neighbours: 0.01 in a soft photograph, 0.1 in confetti.
TEXTURE_FREE, TEXTURE_FULL = 0.015, 0.075
TEXTURE_VEIL = 0.15
# A dark veil under white letters looks like an advert, a bright one like fog.
DARK_LETTERS_MUST_SAVE = 0.3
WORST_PERCENT = 2.0
SAMPLE_STRIDE = 3

Rgb = tuple[int, int, int]
Pixels = NDArray[np.uint8]

_CHANNEL = np.arange(256) / 255.0
# https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
_LINEAR = np.where(_CHANNEL <= 0.04045, _CHANNEL / 12.92, ((_CHANNEL + 0.055) / 1.055) ** 2.4)
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Tone:
    """A colour of text, and the colour of the veil that is laid under it.

    Attributes:
        text: Colour of the letters.
        veil: Colour of the veil.
        opacity: Of the veil where the text stands, 0 to 0.94.
        contrast: Between the letters and the worst 2 % of what is under them.
        is_light: Whether the letters are the lighter side.
        frost: How much of what is under the text is blurred, 0 to 1.
    """

    text: Rgb
    veil: Rgb
    opacity: float
    contrast: float
    is_light: bool
    frost: float


def luminance(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the relative luminance, 0 to 1, of uint8 (..., 3)."""
    linear: NDArray[np.float64] = _LINEAR[pixels.astype(np.uint8)]
    return np.asarray(linear @ _WEIGHTS)


def ratio(one: float, other: float) -> float:
    """Returns the contrast ratio of two luminances, 1 to 21."""
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def measure(text: Rgb, pixels: Pixels, *, is_light: bool) -> float:
    """Returns the contrast of text over the worst 2 % of uint8 (height, width, 3)."""
    percent = 100 - WORST_PERCENT if is_light else WORST_PERCENT
    worst = float(np.percentile(luminance(pixels), percent))
    return ratio(float(luminance(np.array(text))), worst)


def choose_tone(pixels: Pixels) -> Tone:
    """Chooses light or dark letters for uint8 (height, width, 3), whichever needs less veil."""
    sample = np.ascontiguousarray(pixels[::SAMPLE_STRIDE, ::SAMPLE_STRIDE])
    mean = sample.reshape(-1, 3).mean(axis=0)
    light = _tone(sample, (255, 255, 255), _shade(mean), is_light=True)
    dark = _tone(sample, _ink(mean), _tint(mean), is_light=False)
    return dark if dark.opacity + DARK_LETTERS_MUST_SAVE < light.opacity else light


def _tone(sample: Pixels, text: Rgb, veil: Rgb, *, is_light: bool) -> Tone:
    opacity, contrast = 0.0, measure(text, sample, is_light=is_light)
    while contrast < CONTRAST_AIM and opacity < VEIL_MAX:
        opacity = min(opacity + VEIL_STEP, VEIL_MAX)
        contrast = measure(text, veiled(sample, veil, opacity), is_light=is_light)
    frost = texture(sample)
    opacity = min(opacity + TEXTURE_VEIL * frost, VEIL_MAX)
    contrast = measure(text, veiled(sample, veil, opacity), is_light=is_light)
    return Tone(text, veil, opacity, contrast, is_light, frost)


def texture(sample: Pixels) -> float:
    """Returns how fine and strong a texture is, 0 to 1, for uint8 (height, width, 3)."""
    light = luminance(sample)
    steps = [np.abs(np.diff(light, axis=axis)) for axis in (0, 1)]
    step = float(np.mean([each.mean() if each.size else 0.0 for each in steps]))
    return min(max((step - TEXTURE_FREE) / (TEXTURE_FULL - TEXTURE_FREE), 0.0), 1.0)


def veiled(pixels: Pixels, veil: Rgb, opacity: Any) -> Pixels:
    """Returns pixels under a veil; ``opacity`` is a number or an array that broadcasts."""
    mixed = pixels * (1.0 - opacity) + np.array(veil, dtype=np.float64) * opacity
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def _shade(mean: NDArray[Any]) -> Rgb:
    return _rgb(mean * (34.0 / max(float(mean.max()), 34.0)))


def _tint(mean: NDArray[Any]) -> Rgb:
    return _rgb(255 - (255 - mean) * 0.12)


def _ink(mean: NDArray[Any]) -> Rgb:
    return _rgb(mean * (30.0 / max(float(mean.max()), 30.0)))


def _rgb(values: NDArray[Any]) -> Rgb:
    red, green, blue = (round(float(value)) for value in values)
    return red, green, blue
