"""Drawn toys: a plush bear, a balloon, a car, a duck."""

from __future__ import annotations

import numpy as np

from inference.training.world.sketch import INK, WHITE, Shading, Sketch, Tone, mix, smooth


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


def balloon(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A floating balloon: drop, knot, string down to the surface, a window of light."""
    half = rng.uniform(0.28, 0.32)
    low = 2.45 * half + 0.02
    sway = rng.uniform(-0.06, 0.06)
    pen.line(
        [(0.5, low), (0.5 + sway, low + 0.1), (0.5 - sway, 0.9), (0.5, 0.995)],
        0.014,
        (236, 232, 224),
    )
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    width = half * np.sin(turn) * (1 - 0.16 * (1 - np.cos(turn)) / 2)
    height = 0.02 + half * 1.2 * (1 - np.cos(turn))
    pen.polygon(
        [(0.5 + float(x), float(y)) for x, y in zip(width, height, strict=True)], rgb, Shading.BALL
    )
    pen.polygon([(0.5, low - 0.05), (0.54, low + 0.02), (0.46, low + 0.02)], mix(rgb, INK, 0.2))
    x = 0.5 + pen.light * half * 0.5
    pen.ellipse((x - 0.045, 0.15, x + 0.045, 0.3), WHITE, Shading.NONE, 0.55)


def toy_car(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A small car seen from the side: rounded cabin, windows, wheels, a lamp."""
    way = int(rng.choice([-1, 1]))
    roof = rng.uniform(0.36, 0.42)

    def turn(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return points if way > 0 else [(1 - x, y) for x, y in points]

    glass: Tone = (186, 220, 238)
    body = [
        (0.03, 0.86),
        (0.03, 0.68),
        (0.08, 0.62),
        (0.24, 0.6),
        (0.34, roof + 0.03),
        (0.4, roof),
        (0.66, roof),
        (0.72, roof + 0.03),
        (0.8, 0.6),
        (0.94, 0.64),
        (0.98, 0.72),
        (0.98, 0.86),
    ]
    pen.polygon(turn(body), rgb, Shading.FLAT)
    for window in (
        [(0.31, 0.6), (0.385, roof + 0.06), (0.51, roof + 0.06), (0.51, 0.6)],
        [(0.55, 0.6), (0.55, roof + 0.06), (0.66, roof + 0.06), (0.74, 0.6)],
    ):
        pen.polygon(turn(window), glass, Shading.FLAT)
    pen.line(turn([(0.03, 0.74), (0.98, 0.74)]), 0.022, mix(rgb, WHITE, 0.5), opacity=0.8)
    pen.line(turn([(0.04, 0.855), (0.97, 0.855)]), 0.03, mix(rgb, INK, 0.5))
    lamp = 0.93 if way > 0 else 0.07
    pen.ellipse((lamp - 0.04, 0.65, lamp + 0.04, 0.72), (255, 236, 150), Shading.BALL)
    for axle in (0.26, 0.76):
        x = axle if way > 0 else 1 - axle
        pen.ellipse((x - 0.14, 0.72, x + 0.14, 1.0), INK, Shading.BALL)
        pen.ellipse((x - 0.07, 0.79, x + 0.07, 0.93), (206, 206, 210), Shading.BALL)


def rubber_duck(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A bath duck seen from the side: round head, beak, a wing, a raised tail."""
    way = int(rng.choice([-1, 1]))
    tail = rng.uniform(0.42, 0.48)

    def turn(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return points if way > 0 else [(1 - x, y) for x, y in points]

    beak: Tone = (240, 130, 40) if abs(rgb[0] - 238) + abs(rgb[1] - 125) > 90 else (206, 52, 60)
    body = smooth(
        [
            (0.03, tail),
            (0.2, 0.6),
            (0.45, 0.56),
            (0.72, 0.56),
            (0.87, 0.7),
            (0.84, 0.9),
            (0.66, 0.99),
            (0.34, 0.99),
            (0.12, 0.88),
        ]
    )
    pen.polygon(turn([(0.84, 0.28), (0.99, 0.33), (0.985, 0.41), (0.84, 0.43)]), beak, Shading.FLAT)
    pen.polygon(turn(body), rgb, Shading.BALL)
    x0, x1 = (0.44, 0.9) if way > 0 else (0.1, 0.56)
    pen.ellipse((x0, 0.1, x1, 0.6), rgb, Shading.BALL)
    wing = smooth([(0.2, 0.68), (0.42, 0.68), (0.58, 0.74), (0.46, 0.86), (0.3, 0.86)])
    pen.polygon(turn(wing), mix(rgb, INK, 0.22), Shading.FLAT)
    eye = 0.74 if way > 0 else 0.26
    pen.ellipse((eye - 0.05, 0.22, eye + 0.05, 0.34), WHITE, Shading.NONE)
    pen.ellipse((eye - 0.028, 0.25, eye + 0.028, 0.32), INK, Shading.NONE)
