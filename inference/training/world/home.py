"""Drawn things of the house: a present, a vase of flowers, a potted plant, a lamp."""

from __future__ import annotations

import numpy as np

from inference.training.world.sketch import CANDLE, INK, WHITE, Shading, Sketch, Tone, mix, smooth

LEAF: Tone = (66, 146, 74)


def gift_box(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A box seen from the corner, with a lid, a ribbon both ways and a bow."""
    ribbon: Tone = (250, 232, 160) if sum(rgb) < 600 else (206, 52, 60)
    edge = rng.uniform(0.58, 0.66)
    dark, shadow = mix(rgb, INK, 0.35), mix(rgb, INK, 0.2)
    lit, dim = (rgb, dark) if pen.light < 0 else (shadow, mix(rgb, INK, 0.08))
    pen.polygon([(0.1, 0.5), (edge, 0.54), (edge, 1.0), (0.1, 0.93)], lit, Shading.FLAT)
    pen.polygon([(edge, 0.54), (0.92, 0.46), (0.92, 0.87), (edge, 1.0)], dim, Shading.FLAT)
    pen.polygon(
        [(0.06, 0.4), (edge, 0.44), (edge, 0.58), (0.06, 0.53)], mix(lit, WHITE, 0.1), Shading.FLAT
    )
    pen.polygon(
        [(edge, 0.44), (0.96, 0.37), (0.96, 0.49), (edge, 0.58)], mix(dim, WHITE, 0.1), Shading.FLAT
    )
    pen.polygon(
        [(0.06, 0.4), (0.38, 0.32), (0.96, 0.37), (edge, 0.44)], mix(rgb, WHITE, 0.3), Shading.FLAT
    )
    middle = (0.08 + edge) / 2
    pen.polygon(
        [
            (middle - 0.06, 0.415),
            (middle + 0.06, 0.425),
            (middle + 0.06, 0.975),
            (middle - 0.06, 0.965),
        ],
        ribbon,
        Shading.FLAT,
    )
    side = (edge + 0.94) / 2
    pen.polygon(
        [(side - 0.04, 0.41), (side + 0.04, 0.4), (side + 0.04, 0.92), (side - 0.04, 0.945)],
        mix(ribbon, INK, 0.15),
        Shading.FLAT,
    )
    pen.polygon(
        [(middle - 0.06, 0.415), (middle + 0.06, 0.425), (0.71, 0.35), (0.61, 0.34)],
        ribbon,
        Shading.NONE,
    )
    pen.polygon(
        [(side - 0.04, 0.41), (side + 0.04, 0.4), (0.36, 0.325), (0.28, 0.345)],
        ribbon,
        Shading.NONE,
    )
    for way in (-1, 1):
        loop = smooth(
            [(0.5, 0.37), (0.5 + way * 0.1, 0.2), (0.5 + way * 0.27, 0.16), (0.5 + way * 0.28, 0.3)]
        )
        pen.polygon(loop, ribbon, Shading.BALL)
    pen.ellipse((0.44, 0.3, 0.56, 0.42), mix(ribbon, INK, 0.12), Shading.BALL)


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


def lamp(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A table lamp: a shade in the colour, lit from inside, a metal stem and foot."""
    top, low = rng.uniform(0.15, 0.19), rng.uniform(0.35, 0.4)
    metal: Tone = (150, 138, 120)
    pen.tube((0.93, 0.24), (0.965, 0.25), metal, Shading.METAL, flat=0.2)
    pen.rectangle((0.465, 0.46, 0.535, 0.94), metal, Shading.METAL)
    pen.ellipse((0.43, 0.66, 0.57, 0.78), metal, Shading.BALL)
    shade = [(0.5 - top, 0.05), (0.5 + top, 0.05), (0.5 + low, 0.5), (0.5 - low, 0.5)]
    pen.polygon(shade, rgb, Shading.ROUND)
    pen.ellipse((0.5 - low, 0.455, 0.5 + low, 0.545), mix((255, 238, 190), rgb, 0.25), Shading.NONE)
    pen.ellipse((0.5 - top, 0.03, 0.5 + top, 0.07), mix(rgb, INK, 0.4), Shading.NONE)
