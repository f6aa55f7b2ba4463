"""Drawn things to wear: a shirt, a bag, a shoe, a cap."""

from __future__ import annotations

import numpy as np

from inference.training.world.sketch import GOLD, INK, WHITE, Shading, Sketch, Tone, mix, smooth


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


def cap(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A baseball cap seen from the side: dome, seams, button, a brim to one side."""
    way = int(rng.choice([-1, 1]))
    high = rng.uniform(0.36, 0.42)

    def turn(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return points if way > 0 else [(1 - x, y) for x, y in points]

    dark = mix(rgb, INK, 0.35)
    brim = smooth(
        [(0.5, 0.86), (0.72, 0.83), (0.9, 0.88), (0.99, 0.97), (0.8, 0.985), (0.52, 0.97)]
    )
    pen.polygon(turn([(x, y + 0.012) for x, y in brim]), mix(rgb, INK, 0.55), Shading.NONE)
    pen.polygon(turn(brim), mix(rgb, INK, 0.18), Shading.FLAT)
    angle = np.linspace(np.pi, 2 * np.pi, 24)
    dome = [(float(0.4 + 0.37 * np.cos(a)), float(0.9 + (0.9 - high) * np.sin(a))) for a in angle]
    pen.polygon(turn([*dome, (0.77, 0.97), (0.4, 0.995), (0.03, 0.96)]), rgb, Shading.BALL)
    pen.line(turn([(0.4, high + 0.01), (0.5, 0.65), (0.53, 0.98)]), 0.014, dark, opacity=0.7)
    pen.line(turn([(0.4, high + 0.01), (0.22, 0.62), (0.17, 0.97)]), 0.014, dark, opacity=0.7)
    pen.line(turn([(0.04, 0.945), (0.4, 0.975), (0.77, 0.955)]), 0.03, dark, opacity=0.6)
    button = 0.4 if way > 0 else 0.6
    pen.ellipse((button - 0.05, high - 0.03, button + 0.05, high + 0.035), dark, Shading.BALL)
