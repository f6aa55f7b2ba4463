"""Drawn food and drink: a latte glass, a cup on its saucer, a cake on its stand, a donut."""

from __future__ import annotations

import numpy as np

from inference.training.world.sketch import CANDLE, INK, WHITE, Shading, Sketch, Tone, mix

MILK: Tone = (252, 244, 232)
COFFEE: Tone = (74, 44, 28)


def latte_glass(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A tall clear glass: coloured syrup below, milk that takes the colour, foam, a straw."""
    top, low = rng.uniform(0.21, 0.235), rng.uniform(0.16, 0.175)
    level = rng.uniform(0.3, 0.35)

    def half(y: float) -> float:
        return float(top + (low - top) * (y - 0.16) / 0.8)

    side = 0.5 + pen.light * -0.05
    tip = 0.5 + pen.light * -0.17
    pen.tube((0.16, top), (0.965, low), (226, 236, 242), Shading.ROUND, opacity=0.42)
    pen.line([(side, 0.6), (tip, 0.0)], 0.035, mix(rgb, WHITE, 0.35), Shading.ROUND)
    bands = ((0.94, 0.0), (0.66, 0.14), (0.58, 0.32), (0.51, 0.52), (0.44, 0.68))
    for bottom, milk in bands:
        start = (level + 0.05, half(level + 0.05) - 0.02)
        pen.tube(start, (bottom, half(bottom) - 0.02), mix(rgb, MILK, milk), flat=0.22)
    foam = half(level) - 0.02
    pen.tube((level, foam), (level + 0.06, foam), MILK, flat=0.22)
    pen.ellipse(
        (0.5 - foam, level - foam * 0.25, 0.5 + foam, level + foam * 0.25),
        mix(MILK, rgb, 0.1),
        Shading.FLAT,
    )
    pen.ellipse(
        (0.5 - foam * 0.5, level - foam * 0.1, 0.5 + foam * 0.5, level + foam * 0.1),
        mix(rgb, MILK, 0.35),
        Shading.NONE,
        0.8,
    )
    pen.ring(
        (0.5 - top, 0.16 - top * 0.2, 0.5 + top, 0.16 + top * 0.2), 0.012, WHITE, Shading.NONE, 0.7
    )
    shine = 0.5 + pen.light * top * 0.68
    pen.line([(shine, 0.24), (shine - pen.light * 0.03, 0.86)], 0.028, WHITE, opacity=0.5)


def coffee_cup(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A wide cup of coffee with an ear, on a saucer."""
    top = rng.uniform(0.42, 0.48)
    half = rng.uniform(0.29, 0.32)
    centre = 0.46
    pen.ellipse((0.04, 0.85, 0.92, 1.0), mix(rgb, INK, 0.25))
    pen.ellipse((0.04, 0.83, 0.92, 0.975), mix(rgb, WHITE, 0.12))
    pen.ring(
        (centre + half - 0.1, top + 0.06, centre + half + 0.2, top + 0.32),
        0.055,
        mix(rgb, INK, 0.12),
    )
    y = np.linspace(top, 0.92, 16)
    r = half * (1 - 0.52 * ((y - top) / (0.92 - top)) ** 2.6)
    left = [(float(centre - a), float(b)) for a, b in zip(r, y, strict=True)]
    right = [(float(centre + a), float(b)) for a, b in zip(r[::-1], y[::-1], strict=True)]
    pen.polygon(left + right, rgb)
    pen.ellipse((centre - half, top - 0.075, centre + half, top + 0.075), mix(rgb, WHITE, 0.3))
    pen.ellipse(
        (centre - half + 0.03, top - 0.05, centre + half - 0.03, top + 0.06), COFFEE, Shading.FLAT
    )
    pen.ellipse(
        (centre - half * 0.5, top - 0.02, centre + half * 0.4, top + 0.035),
        (150, 100, 62),
        Shading.NONE,
        0.8,
    )
    for x in (centre - 0.09, centre + 0.07):
        wave = [(x + 0.025 * np.sin(k * 1.1), top - 0.08 - 0.045 * k) for k in range(7)]
        pen.line(wave, 0.022, WHITE, opacity=0.35)


def cake(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """Two tiers in the colour with dripping cream, berries or not, and a candle."""
    low, high = rng.uniform(0.4, 0.44), rng.uniform(0.25, 0.28)
    cream = MILK if sum(rgb) < 660 else (240, 218, 186)
    pen.tube((0.955, 0.48), (0.97, 0.48), (206, 204, 202), Shading.METAL, flat=0.08)
    for y0, y1, half in ((0.62, 0.93, low), (0.33, 0.6, high)):
        pen.tube((y0, half), (y1, half), rgb, flat=0.14)
        pen.tube((y0, half), (y0 + 0.045, half), cream, flat=0.14)
        for k in range(6):
            x = 0.5 - half + 2 * half * (k + 0.5) / 6
            drop = y0 + 0.1 + 0.03 * ((k * 2) % 3)
            pen.rectangle(
                (x - half / 8, y0 + 0.02, x + half / 8, drop), cream, Shading.FLAT, radius=half / 8
            )
        top = (0.5 - half, y0 - half * 0.14, 0.5 + half, y0 + half * 0.14)
        pen.ellipse(top, mix(cream, WHITE, 0.5), Shading.FLAT)
    pen.rectangle((0.482, 0.13, 0.518, 0.33), mix(rgb, WHITE, 0.4))
    pen.ellipse((0.465, 0.02, 0.535, 0.14), CANDLE, Shading.BALL)


def donut(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A ring of dough lying at an angle, icing in the colour, sprinkles on it."""
    top = rng.uniform(0.42, 0.47)
    dough: Tone = (222, 168, 102)
    pen.ellipse((0.03, top + 0.05, 0.97, 1.0), mix(dough, INK, 0.25), Shading.BALL)
    pen.ellipse((0.03, top, 0.97, 0.93), dough, Shading.BALL)
    turn = np.linspace(0, 2 * np.pi, 44, endpoint=False)
    wave = 1 + 0.035 * np.sin(7 * turn + rng.uniform(0, 6))
    middle = (top + 0.9) / 2
    icing = [
        (float(0.5 + 0.445 * np.cos(a) * w), float(middle - 0.01 + 0.215 * np.sin(a) * w))
        for a, w in zip(turn, wave, strict=True)
    ]
    pen.polygon(icing, rgb, Shading.BALL)
    pen.ellipse((0.36, middle - 0.075, 0.64, middle + 0.065), mix(dough, INK, 0.3), Shading.NONE)
    pen.ellipse((0.385, middle - 0.045, 0.615, middle + 0.06), mix(INK, dough, 0.2), Shading.NONE)
    for k in range(11):
        a = k * 2 * np.pi / 11 + rng.uniform(-0.1, 0.1)
        x, y = 0.5 + 0.33 * np.cos(a), middle + 0.155 * np.sin(a)
        dx, dy = 0.03 * np.cos(5.1 * k), 0.022 * np.sin(5.1 * k)
        tint = ((255, 250, 240), (255, 214, 90), (120, 200, 240))[k % 3]
        pen.line([(x - dx, y - dy), (x + dx, y + dy)], 0.024, tint)
