"""Drawn goods: clothes, a bag, a film reel, a plush bear, a wrapped present."""

from __future__ import annotations

import numpy as np

from inference.training.sketch import Shading, Sketch, Tone, mix, smooth

WHITE: Tone = (252, 252, 250)
GOLD: Tone = (214, 176, 98)
INK: Tone = (44, 42, 46)


def t_shirt(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A short-sleeved shirt seen from the front."""
    waist = rng.uniform(0.26, 0.29)
    dark, pale = mix(rgb, INK, 0.25), mix(rgb, WHITE, 0.12)
    for side in (-1, 1):
        sleeve = [
            (0.5 + side * 0.2, 0.1),
            (0.5 + side * 0.47, 0.34),
            (0.5 + side * 0.36, 0.46),
            (0.5 + side * 0.22, 0.36),
        ]
        pen.polygon(sleeve, mix(rgb, INK, 0.1) if side != pen.light else pale, Shading.FLAT)
        pen.line([(0.5 + side * 0.46, 0.35), (0.5 + side * 0.365, 0.45)], 0.02, dark)
    body = [
        (0.34, 0.07),
        (0.5, 0.16),
        (0.66, 0.07),
        (0.73, 0.13),
        (0.5 + waist, 0.42),
        (0.5 + waist + 0.01, 0.98),
        (0.5, 0.995),
        (0.5 - waist - 0.01, 0.98),
        (0.5 - waist, 0.42),
        (0.27, 0.13),
    ]
    pen.polygon(body, rgb, Shading.CLOTH)
    pen.ellipse((0.37, 0.02, 0.63, 0.17), dark, Shading.NONE)
    pen.ellipse((0.4, 0.0, 0.6, 0.135), mix(rgb, INK, 0.5), Shading.NONE)
    pen.line([(0.5 - waist, 0.955), (0.5 + waist, 0.955)], 0.012, dark)
    for side in (-1, 1):
        pen.line(
            [(0.5 + side * waist, 0.4), (0.5 + side * waist * 0.8, 0.9)], 0.014, dark, opacity=0.5
        )


def handbag(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A bag with a flap, a gold clasp and one arched handle."""
    top = rng.uniform(0.42, 0.47)
    dark = mix(rgb, INK, 0.3)
    pen.ring((0.27, 0.06, 0.73, 0.86), 0.055, dark)
    body = [(0.16, top), (0.84, top), (0.94, 0.9), (0.88, 0.99), (0.12, 0.99), (0.06, 0.9)]
    pen.polygon(body, rgb, Shading.FLAT)
    flap = [
        (0.15, top - 0.01),
        (0.85, top - 0.01),
        (0.87, 0.62),
        (0.62, 0.73),
        (0.38, 0.73),
        (0.13, 0.62),
    ]
    pen.polygon([(x, y + 0.02) for x, y in flap], mix(rgb, INK, 0.45), Shading.NONE)
    pen.polygon(flap, mix(rgb, WHITE, 0.12), Shading.ROUND)
    pen.rectangle((0.44, 0.67, 0.56, 0.78), GOLD, Shading.METAL, radius=0.02)
    for x in (0.29, 0.71):
        pen.ellipse((x - 0.035, top - 0.03, x + 0.035, top + 0.04), GOLD, Shading.BALL)


def sneaker(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A low shoe seen from the side, its toe to the right or to the left."""
    way = int(rng.choice([-1, 1]))

    def turn(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return points if way > 0 else [(1 - x, y) for x, y in points]

    dark = mix(rgb, INK, 0.4)
    pale = WHITE if sum(rgb) < 640 else (196, 198, 204)
    upper = smooth(
        [
            (0.05, 0.93),
            (0.04, 0.7),
            (0.07, 0.46),
            (0.14, 0.42),
            (0.27, 0.5),
            (0.4, 0.44),
            (0.47, 0.42),
            (0.58, 0.56),
            (0.74, 0.66),
            (0.9, 0.72),
            (0.965, 0.82),
            (0.96, 0.93),
        ]
    )
    pen.polygon(
        turn([(0.09, 0.45), (0.28, 0.53), (0.45, 0.46), (0.4, 0.36), (0.33, 0.42)]),
        dark,
        Shading.NONE,
    )
    pen.polygon(turn(upper), rgb, Shading.FLAT)
    toe = smooth(
        [(0.74, 0.9), (0.76, 0.76), (0.84, 0.7), (0.93, 0.76), (0.965, 0.86), (0.95, 0.92)]
    )
    pen.polygon(turn(toe), mix(rgb, WHITE, 0.4), Shading.FLAT)
    pen.polygon(
        turn([(0.05, 0.5), (0.15, 0.47), (0.19, 0.66), (0.2, 0.9), (0.04, 0.9)]), dark, Shading.FLAT
    )
    swoosh = smooth(
        [(0.24, 0.74), (0.32, 0.84), (0.5, 0.76), (0.64, 0.64), (0.48, 0.7), (0.34, 0.75)]
    )
    pen.polygon(turn(swoosh), pale, Shading.NONE)
    for k in range(4):
        x, y = 0.44 + 0.07 * k, 0.47 + 0.05 * k
        pen.line(turn([(x - 0.06, y + 0.08), (x + 0.03, y - 0.01)]), 0.026, pale)
    sole = smooth(
        [
            (0.03, 0.9),
            (0.3, 0.89),
            (0.6, 0.89),
            (0.97, 0.88),
            (0.975, 0.95),
            (0.93, 0.995),
            (0.5, 0.99),
            (0.06, 0.995),
            (0.025, 0.95),
        ]
    )
    pen.polygon(turn(sole), (244, 243, 238) if sum(rgb) < 640 else (150, 152, 158), Shading.FLAT)


def film_reel(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A standing reel with round windows, and a strip of film that runs out along the ground."""
    way = int(rng.choice([-1, 1]))
    end = 0.5 + way * 0.49
    pen.line([(0.5, 0.955), (end, 0.955)], 0.1, INK)
    for k in range(5):
        x = 0.5 + way * (0.14 + 0.075 * k)
        for y in (0.918, 0.972):
            pen.rectangle((x, y, x + 0.03, y + 0.022), WHITE, Shading.NONE)
    pen.ellipse((0.04, 0.07, 0.96, 0.99), mix(rgb, INK, 0.45), Shading.FLAT)
    pen.ellipse((0.06, 0.05, 0.92, 0.96), rgb, Shading.BALL)
    pen.ring((0.06, 0.05, 0.92, 0.96), 0.035, mix(rgb, WHITE, 0.3), Shading.FLAT)
    cx, cy = 0.49, 0.505
    first = rng.uniform(0, 2 * np.pi / 5)
    for turn in first + np.linspace(0, 2 * np.pi, 5, endpoint=False):
        x, y = cx + 0.255 * np.cos(turn), cy + 0.27 * np.sin(turn)
        pen.ellipse((x - 0.11, y - 0.115, x + 0.11, y + 0.115), mix(INK, rgb, 0.1), Shading.FLAT)
    pen.ellipse((cx - 0.085, cy - 0.09, cx + 0.085, cy + 0.09), (206, 206, 208), Shading.BALL)
    pen.ellipse((cx - 0.03, cy - 0.03, cx + 0.03, cy + 0.03), INK, Shading.NONE)


def plush_bear(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A sitting bear: round head, ears, paws, a pale muzzle and belly."""
    pale, dark = mix(rgb, WHITE, 0.5), mix(rgb, INK, 0.2)
    eye = INK if sum(rgb) > 180 else (240, 240, 240)
    for side in (-1, 1):
        x = 0.5 + side * 0.24
        pen.ellipse((x - 0.115, 0.02, x + 0.115, 0.25), dark, Shading.BALL)
        pen.ellipse((x - 0.06, 0.07, x + 0.06, 0.19), pale, Shading.NONE)
        arm = 0.5 + side * 0.31
        pen.ellipse((arm - 0.11, 0.54, arm + 0.11, 0.84), dark, Shading.BALL)
    pen.ellipse((0.24, 0.46, 0.76, 0.98), rgb, Shading.BALL)
    pen.ellipse((0.35, 0.6, 0.65, 0.92), pale, Shading.FLAT)
    for side in (-1, 1):
        foot = 0.5 + side * 0.25
        pen.ellipse((foot - 0.14, 0.77, foot + 0.14, 1.0), rgb, Shading.BALL)
        pen.ellipse((foot - 0.08, 0.82, foot + 0.08, 0.96), pale, Shading.NONE)
    pen.ellipse((0.2, 0.06, 0.8, 0.56), rgb, Shading.BALL)
    pen.ellipse((0.36, 0.31, 0.64, 0.53), pale, Shading.FLAT)
    for side in (-1, 1):
        x = 0.5 + side * 0.13
        pen.ellipse((x - 0.033, 0.24, x + 0.033, 0.31), eye, Shading.NONE)
    pen.ellipse((0.445, 0.335, 0.555, 0.41), INK, Shading.NONE)
    pen.line([(0.5, 0.4), (0.5, 0.45)], 0.018, INK)
    tie = rng.uniform(0.05, 0.07)
    ribbon: Tone = (206, 52, 60) if rgb[0] < 190 or rgb[1] > 120 else (250, 240, 220)
    for side in (-1, 1):
        pen.polygon(
            [(0.5, 0.575), (0.5 + side * 0.13, 0.575 - tie), (0.5 + side * 0.13, 0.64)],
            ribbon,
            Shading.FLAT,
        )


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
