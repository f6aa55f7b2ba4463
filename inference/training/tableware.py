"""Drawn things that hold something: a latte glass, a cup, a cake on its stand, popcorn, pots."""

from __future__ import annotations

import numpy as np

from inference.training.sketch import Shading, Sketch, Tone, mix, smooth

WHITE: Tone = (252, 252, 250)
MILK: Tone = (252, 244, 232)
COFFEE: Tone = (74, 44, 28)
LEAF: Tone = (66, 146, 74)
CANDLE: Tone = (255, 190, 60)
INK: Tone = (44, 42, 46)


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


def popcorn_bucket(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A striped bucket, wider above, heaped with popcorn."""
    top, low, y0 = rng.uniform(0.35, 0.39), rng.uniform(0.25, 0.28), 0.4
    for row, (y, reach, count) in enumerate(((0.34, 0.3, 5), (0.25, 0.24, 4), (0.15, 0.13, 3))):
        for k in range(count):
            x = 0.5 + reach * (2 * (k + 0.5) / count - 1) + rng.uniform(-0.02, 0.02)
            size = rng.uniform(0.085, 0.105)
            tint = mix((255, 240, 200), (244, 206, 120), float(rng.uniform(0, 0.7)))
            bump = y + rng.uniform(-0.02, 0.02) + 0.01 * row
            pen.ellipse((x - size, bump - size, x + size, bump + size), tint, Shading.BALL)
    pen.tube((y0, top), (0.96, low), rgb, flat=0.1)
    stripe = WHITE if sum(rgb) < 640 else (186, 184, 180)
    for k in range(3):
        a, b = (-0.72 + 0.58 * k, -0.44 + 0.58 * k)
        pen.polygon(
            [
                (0.5 + top * a, y0),
                (0.5 + top * b, y0),
                (0.5 + low * b, 0.985),
                (0.5 + low * a, 0.985),
            ],
            stripe,
            Shading.FLAT,
        )
    pen.tube((y0 - 0.005, top * 1.04), (y0 + 0.04, top * 1.03), mix(rgb, WHITE, 0.15), flat=0.1)
    for k in range(5):
        x = 0.5 + top * 0.85 * (2 * (k + 0.5) / 5 - 1)
        size = rng.uniform(0.07, 0.085)
        pen.ellipse((x - size, y0 - 0.12, x + size, y0 + 0.03), (255, 236, 190), Shading.BALL)


def vase(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A bellied vase with a narrow neck and a flared lip, three flowers in it."""
    belly, neck = rng.uniform(0.26, 0.31), rng.uniform(0.085, 0.11)
    for x, y in ((0.33, 0.17), (0.68, 0.15), (0.5, 0.08)):
        pen.line([(0.5, 0.46), ((x + 0.5) / 2, 0.3), (x, y)], 0.022, LEAF)
        for turn in np.linspace(0, 2 * np.pi, 5, endpoint=False):
            cx, cy = x + 0.05 * np.cos(turn), y + 0.05 * np.sin(turn)
            pen.ellipse((cx - 0.04, cy - 0.04, cx + 0.04, cy + 0.04), (252, 238, 236), Shading.NONE)
        pen.ellipse((x - 0.03, y - 0.03, x + 0.03, y + 0.03), CANDLE, Shading.NONE)
    y = np.linspace(0.4, 0.985, 28)
    t = (y - 0.4) / 0.585
    r = neck + belly * np.exp(-(((t - 0.6) / 0.24) ** 2)) * 0.95 + 0.05 * np.exp(-t / 0.06)
    r = r + 0.05 * (t > 0.93)
    left = [(float(0.5 - a), float(b)) for a, b in zip(r, y, strict=True)]
    right = [(float(0.5 + a), float(b)) for a, b in zip(r[::-1], y[::-1], strict=True)]
    pen.polygon(left + right, rgb)
    lip = float(r[0])
    pen.ellipse((0.5 - lip, 0.375, 0.5 + lip, 0.425), mix(rgb, INK, 0.5), Shading.FLAT)
    shine = 0.5 + pen.light * belly * 0.6
    pen.ellipse((shine - 0.035, 0.62, shine + 0.035, 0.78), WHITE, Shading.NONE, 0.4)


def plant(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """Broad green leaves in a pot of the colour."""
    for k in (0, 6, 1, 5, 2, 4, 3):
        turn = np.pi * (0.1 + 0.8 * k / 6) + rng.uniform(-0.05, 0.05)
        reach = rng.uniform(0.42, 0.52)
        dx, dy = np.cos(turn) * reach, -np.sin(turn) * reach * 1.15
        nx, ny = -dy * 0.2, dx * 0.2
        leaf = [
            (0.5, 0.64),
            (0.5 + dx * 0.5 + nx, 0.64 + dy * 0.5 + ny),
            (0.5 + dx, 0.64 + dy),
            (0.5 + dx * 0.5 - nx, 0.64 + dy * 0.5 - ny),
        ]
        tone = mix(LEAF, (150, 196, 92), float(rng.uniform(0, 0.6)))
        pen.polygon(smooth(leaf), tone, Shading.FLAT)
        pen.line([(0.5, 0.64), (0.5 + dx * 0.85, 0.64 + dy * 0.85)], 0.012, mix(tone, INK, 0.3))
    half = rng.uniform(0.24, 0.28)
    pen.tube((0.68, half), (0.97, half * 0.7), rgb, flat=0.12)
    pen.tube((0.62, half * 1.14), (0.7, half * 1.14), mix(rgb, WHITE, 0.1), flat=0.12)
    pen.ellipse((0.5 - half, 0.6, 0.5 + half, 0.645), (84, 60, 44), Shading.FLAT)
