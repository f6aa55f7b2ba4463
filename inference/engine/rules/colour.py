"""Colours: sRGB and CIELAB (D65, IEC 61966-2-1 and CIE 15), and how different two of them look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
FROM_XYZ = np.linalg.inv(TO_XYZ)
WHITE = np.array([0.95047, 1.0, 1.08883])
DELTA = 6 / 29
_IN_GAMUT = 1e-6
_PAIRS_AT_ONCE = 1 << 18


def from_hex(colour: str) -> Pixels:
    """The three bytes of "#rrggbb"."""
    return np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)


def in_light(code: Floats) -> Floats:
    """Linear light, 0 to 1, of sRGB from 0 to 1."""
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def coded(light: Floats) -> Floats:
    """sRGB, 0 to 1, of linear light from 0 to 1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def root(share: Floats) -> Floats:
    """CIE 15's f: the cube root, but straight where it is dark."""
    return np.where(share > DELTA**3, np.cbrt(share), share / (3 * DELTA**2) + 4 / 29)


def to_lab(rgb: Pixels | Floats) -> Floats:
    """L 0 to 100, a and b, of sRGB (..., 3) from 0 to 255."""
    f = root(in_light(rgb.astype(np.float64) / 255) @ TO_XYZ.T / WHITE)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def to_light(lab: Floats) -> Floats:
    """Linear RGB, below 0 or above 1 where the colour cannot be shown."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29)) * WHITE
    return xyz @ FROM_XYZ.T


def shown(lab: Floats) -> NDArray[np.bool_]:
    """Whether colours (..., 3) can be shown."""
    light = to_light(lab)
    return ((light >= -_IN_GAMUT) & (light <= 1 + _IN_GAMUT)).all(-1)


def to_srgb(lab: Floats) -> Floats:
    """As sRGB from 0 to 255, not rounded, cut to what can be shown."""
    return 255 * coded(np.clip(to_light(lab), 0, 1))


def to_rgb(lab: Floats) -> Pixels:
    """The nearest sRGB bytes (..., 3)."""
    return np.rint(to_srgb(lab)).astype(np.uint8)


def ciede2000(first: Floats, second: Floats) -> Floats:
    """How different Lab colours (..., 3) look; 1 is just seen.

    G. Sharma, W. Wu, E. Dalal: The CIEDE2000 color-difference formula (2005).
    """
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    mean7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(mean7 / (mean7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180
    turn = np.where((turn == -180) & (h2 > h1), 180, turn)
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, turn)
    hue = np.where(grey, h1 + h2, np.where(np.abs(h1 - h2) > 180, h1 + h2 + 360, h1 + h2) / 2) % 360
    return _weighted(
        l2 - l1,
        c2 - c1,
        2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)),
        (l1 + l2) / 2,
        (c1 + c2) / 2,
        hue,
    )


def _weighted(
    lighter: Floats, richer: Floats, turned: Floats, lightness: Floats, chroma: Floats, hue: Floats
) -> Floats:
    """The differences in lightness, chroma and hue, by how well each is seen around their means."""
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    from_middle = (lightness - 50) ** 2
    by_lightness = lighter / (1 + 0.015 * from_middle / np.sqrt(20 + from_middle))
    by_chroma = richer / (1 + 0.045 * chroma)
    by_hue = turned / (1 + 0.015 * chroma * t)
    blue = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -np.sin(blue) * 2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    squares = by_lightness**2 + by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue
    return np.sqrt(np.maximum(squares, 0))


def largest_difference(first: Pixels, second: Pixels) -> float:
    """The largest CIEDE2000 between two lists of sRGB bytes (n, 3); 0 for equal or empty ones.

    Only pairs that may be the largest are looked at closely. With weights of at least 1, a
    rotation that at most doubles the sum of squares and a stretch of a of at most 1.5,
    CIEDE2000 is never above 1.5 * sqrt(2) times the distance in Lab. A part at a time, for a pair
    takes 200 bytes meanwhile.
    """
    largest = 0.0
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        largest = _larger_than(largest, first[part], second[part])
    return largest


def _larger_than(least: float, first: Pixels, second: Pixels) -> float:
    """The largest CIEDE2000 of some pairs, or `least` where none is larger."""
    differing = (first != second).any(-1)
    if not differing.any():
        return least
    one, other = to_lab(first[differing]), to_lab(second[differing])
    bound = 1.5 * 2**0.5 * np.linalg.norm(one - other, axis=-1)
    nearest = np.argsort(bound)[-1024:]
    least = max(least, float(ciede2000(one[nearest], other[nearest]).max()))
    rest = bound > least
    return max(least, float(ciede2000(one[rest], other[rest]).max(initial=0)))
