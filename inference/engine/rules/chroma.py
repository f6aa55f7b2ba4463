"""Another hue and chroma at a pixel's own lightness, as exact as a byte can show.

OpenCV's own way there and back in bytes rounds L, a and b to whole steps twice, which is up to 2.7
in CIEDE2000 from what was meant. Here luminance and the cube roots behind Lab are looked up by 14
and 16 bits, so that nearly every pixel is the byte nearest to the exact one.

Halfway between two colours of one lightness lies, in Lab, what mixes the cube roots of X and Z and
leaves that of Y alone: with f(t) as CIE 15 defines it, a is 500 (f(X) - f(Y)) and b is
200 (f(Y) - f(Z)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.engine.rules.colour import (
    DELTA,
    FROM_XYZ,
    TO_XYZ,
    WHITE,
    Floats,
    Pixels,
    coded,
    from_hex,
    in_light,
    root,
    shown,
    to_lab,
    to_rgb,
)

LEVELS = 1 << 14  # of luminance: steps of 0.055 of L where it is dark, of 0.003 where it is light
_FINE = 1 << 16
_DOWN = 2  # bits between the two
_KNOTS, _SHARES, _HALVINGS = 513, 257, 10
_STEEP = 0.02
_FALL = 3.0
_STRIP_PIXELS = 1 << 15  # what a strip takes meanwhile stays near the processor

# By the bytes of a pixel, in 16 bits: linear light, and what each of them adds to luminance.
_LIGHT = in_light(np.arange(256) / 255)
_LIGHT_TABLE = np.repeat(np.rint(_LIGHT * (_FINE - 1)).astype(np.uint16)[None, :, None], 3, 2)
_LUMINANCE_TABLE = np.rint(np.outer(_LIGHT, TO_XYZ[1]) * (_FINE - 1)).astype(np.uint16)[None]
_TO_LEVELS = np.full((1, 3), (LEVELS - 1) / (_FINE - 1), np.float32)
_TO_RELATIVE_XYZ = (TO_XYZ / WHITE[:, None]).astype(np.float32)
_FROM_RELATIVE_XYZ = (FROM_XYZ * WHITE * (_FINE - 1)).astype(np.float32)
# By 16 bits: f(t), and the byte of linear light.
_ROOTS = root(np.arange(_FINE) / (_FINE - 1)).astype(np.float32)
_BYTES = np.rint(255 * coded(np.arange(_FINE) / (_FINE - 1))).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Ramp:
    """A colour at every lightness.

    Where it cannot be shown that light or that dark, it is paler: lightness is kept, chroma is not.
    Nothing lighter than the brightest yellows is nearly as rich; there chroma falls within a third
    of a step of L, and within that the nearest that can be shown is taken.

    Attributes:
        rgb: uint8 (LEVELS, 4) by luminance, the fourth being nothing.
        chroma: complex64 (LEVELS,) by luminance: a / 500 and -b / 200, what f(X) and f(Z) have more
            than f(Y).
    """

    rgb: Pixels
    chroma: NDArray[np.complex64]


@lru_cache(maxsize=64)
def ramp(colour: str) -> Ramp:
    """Makes the ramp of "#rrggbb": some 20 ms, once."""
    lab = to_lab(from_hex(colour))
    lightness = 116 * root(np.arange(LEVELS) / (LEVELS - 1)) - 16
    chroma = shares(lightness, lab)[:, None] * lab[1:]
    rgb = np.zeros((LEVELS, 4), np.uint8)
    rgb[:, :3] = to_rgb(np.column_stack([lightness, chroma]))
    turned = (chroma / [500, -200]).astype(np.float32).view(np.complex64)[:, 0]
    return Ramp(rgb, turned)


def shares(lightness: Floats, lab: Floats) -> Floats:
    """How much of a colour's chroma is shown.

    Args:
        lightness: L, ascending (n,), in steps of at most 0.06.
        lab: The colour.

    Returns:
        0 to 1 (n,).
    """
    own, wanted = lab[0], lab[1:]
    knots = np.linspace(0, 100, _KNOTS)
    at_knots = _richest(knots, wanted)
    found = np.interp(lightness, knots, at_knots)
    place = np.clip((lightness * ((_KNOTS - 1) / 100)).astype(int), 0, _KNOTS - 2)
    steep = np.abs(np.diff(at_knots))[place] > _STEEP
    found[steep] = _richest(lightness[steep], wanted)
    # No steeper than that: a step of luminance must not decide between rich and pale.
    rising = np.maximum.accumulate(found + _FALL * lightness) - _FALL * lightness
    back = np.maximum.accumulate((found - _FALL * lightness)[::-1])[::-1] + _FALL * lightness
    itself = 1 - _FALL * np.abs(lightness - own)
    return np.minimum(np.maximum.reduce([rising, back, itself]), 1)


def _richest(lightness: Floats, wanted: Floats) -> Floats:
    """The greatest shares that can be shown, to 1/260,000.

    Halved between the last of a scale and the next only: around yellow a colour may be shown whose
    paler kin cannot.
    """
    scale = np.linspace(0, 1, _SHARES)
    seen = shown(_lab(lightness[:, None], scale[None], wanted))
    last = _SHARES - 1 - seen[:, ::-1].argmax(1)
    low, high = scale[last], scale[np.minimum(last + 1, _SHARES - 1)]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        good = shown(_lab(lightness, middle, wanted))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return low


def _lab(lightness: Floats, share: Floats, wanted: Floats) -> Floats:
    lab = np.empty((*np.broadcast_shapes(lightness.shape, share.shape), 3))
    lab[..., 0], lab[..., 1:] = lightness, share[..., None] * wanted
    return lab


def painted(pixels: Pixels, colours: Ramp) -> Pixels:
    """Every pixel (h, w, 3) in a ramp's colour, as light as it was."""
    made = np.empty_like(pixels)
    packed = colours.rgb.view(np.uint32)[:, 0]
    for rows in _strips(pixels):
        strip = pixels[rows]
        levels = cv2.transform(cv2.LUT(strip, _LUMINANCE_TABLE), _TO_LEVELS)
        found = _looked_up(packed, levels).view(np.uint8).reshape(*strip.shape[:2], 4)
        made[rows] = cv2.cvtColor(found, cv2.COLOR_RGBA2RGB)
    return made


def mixed(pixels: Pixels, share: NDArray[np.float32], colours: Ramp) -> Pixels:
    """Every pixel (h, w, 3) a share (h, w) of the way to a ramp's colour, as light as it was."""
    made = np.empty_like(pixels)
    for rows in _strips(pixels):
        made[rows] = _mixed(pixels[rows], share[rows], colours)
    return made


def _mixed(pixels: Pixels, share: NDArray[np.float32], colours: Ramp) -> Pixels:
    planes = cv2.split(cv2.transform(cv2.LUT(pixels, _LIGHT_TABLE), _TO_RELATIVE_XYZ))
    x, y, z = (_looked_up(_ROOTS, plane) for plane in planes)
    new = _looked_up(colours.chroma, planes[1] >> _DOWN)
    x += share * (y + new.real - x)
    z += share * (y + new.imag - z)
    light = cv2.transform(cv2.merge([_cubed(each) for each in (x, y, z)]), _FROM_RELATIVE_XYZ)
    # Rounded, and cut to what can be shown.
    rounded = cv2.add(light.reshape(light.shape[0], -1), 0, dtype=cv2.CV_16U)
    return _looked_up(_BYTES, rounded).reshape(pixels.shape)


def _cubed(roots: NDArray[np.float32]) -> NDArray[np.float32]:
    """The t of f(t)."""
    made = roots * roots
    made *= roots
    low = roots <= DELTA
    if low.any():
        made[low] = 3 * DELTA**2 * (roots[low] - 4 / 29)
    return made


def _looked_up(table: NDArray, places: NDArray[np.uint16]) -> NDArray:
    """The entries of a table; of `take` the way that does not look for places beyond it."""
    return np.take(table, places, mode="clip")


def _strips(pixels: Pixels) -> list[slice]:
    """Rows, some at a time."""
    height, width = pixels.shape[:2]
    step = max(1, _STRIP_PIXELS // width)
    return [slice(top, top + step) for top in range(0, height, step)]
