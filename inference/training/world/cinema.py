"""Drawn things of the cinema: a reel, popcorn, a slate, a camera."""

from __future__ import annotations

import numpy as np

from inference.training.world.sketch import INK, WHITE, Shading, Sketch, Tone, mix


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


def clapperboard(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A slate in the colour, ruled, under an open stick with slanted stripes."""
    lift = float(rng.uniform(0.12, 0.2))
    pale = WHITE if sum(rgb) < 600 else mix(rgb, INK, 0.55)
    pen.rectangle((0.06, 0.44, 0.95, 0.99), mix(rgb, INK, 0.35), Shading.NONE, radius=0.03)
    pen.rectangle((0.05, 0.43, 0.94, 0.975), rgb, Shading.FLAT, radius=0.03)
    for y in (0.62, 0.79):
        pen.line([(0.1, y), (0.89, y)], 0.016, pale, opacity=0.85)
    for x, low, high in ((0.38, 0.62, 0.79), (0.62, 0.79, 0.94)):
        pen.line([(x, low), (x, high)], 0.016, pale, opacity=0.85)
    pen.line([(0.46, 0.7), (0.8, 0.7)], 0.03, pale, opacity=0.6)

    def stick(y_left: float, y_right: float) -> None:
        def at(x: float, down: float) -> tuple[float, float]:
            return x, y_left + (y_right - y_left) * (x - 0.05) / 0.89 + down

        pen.polygon([at(0.05, 0), at(0.94, 0), at(0.94, 0.12), at(0.05, 0.12)], INK, Shading.FLAT)
        for k in range(4):
            x = 0.1 + 0.22 * k
            stripe = [at(x, 0), at(x + 0.1, 0), at(x + 0.16, 0.12), at(x + 0.06, 0.12)]
            pen.polygon(stripe, WHITE, Shading.FLAT)

    stick(0.33, 0.33)
    stick(0.2, 0.2 - lift)
    pen.ellipse((0.06, 0.26, 0.14, 0.34), (190, 190, 194), Shading.BALL)


def movie_camera(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A camera in the colour with a lens to one side, two reels on top and three feet."""
    way = int(rng.choice([-1, 1]))
    dark = mix(rgb, INK, 0.4)

    def box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        return (x0, y0, x1, y1) if way > 0 else (1 - x1, y0, 1 - x0, y1)

    for x in (0.24, 0.42, 0.6):
        foot = 0.42 + (x - 0.42) * 1.7
        a, b = ((0.42, 0.76), (foot, 0.99)) if way > 0 else ((0.58, 0.76), (1 - foot, 0.99))
        pen.line([a, b], 0.05, INK)
    for x, r in ((0.24, 0.17), (0.56, 0.19)):
        pen.ellipse(box(x - r, 0.24 - r, x + r, 0.24 + r), dark, Shading.BALL)
        pen.ring(box(x - r, 0.24 - r, x + r, 0.24 + r), 0.03, mix(rgb, WHITE, 0.25), Shading.FLAT)
        for turn in np.linspace(0, 2 * np.pi, 4, endpoint=False) + rng.uniform(0, 1.5):
            cx, cy = x + r * 0.5 * np.cos(turn), 0.24 + r * 0.5 * np.sin(turn)
            pen.ellipse(box(cx - 0.04, cy - 0.04, cx + 0.04, cy + 0.04), INK, Shading.NONE)
    pen.rectangle(box(0.66, 0.47, 0.86, 0.67), INK, Shading.METAL, radius=0.02)
    pen.rectangle(box(0.84, 0.42, 0.97, 0.72), mix(INK, WHITE, 0.2), Shading.METAL, radius=0.03)
    pen.rectangle(box(0.07, 0.38, 0.73, 0.78), rgb, Shading.FLAT, radius=0.05)
    pen.rectangle(box(0.13, 0.47, 0.4, 0.69), mix(rgb, WHITE, 0.3), Shading.FLAT, radius=0.03)
    pen.ellipse(box(0.52, 0.48, 0.65, 0.61), (220, 60, 60), Shading.BALL)
