"""How each object is drawn: every function draws into a `Sketch`, in the colour `rgb`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from inference.training.goods import film_reel, gift_box, handbag, plush_bear, sneaker, t_shirt
from inference.training.sketch import Shading, Sketch, Tone, mix
from inference.training.tableware import cake, coffee_cup, latte_glass, plant, popcorn_bucket, vase

WHITE: Tone = (252, 252, 250)
GOLD: Tone = (214, 176, 98)
INK: Tone = (44, 42, 46)
Shape = Callable[[Sketch, Tone, np.random.Generator], None]


def lipstick(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A twisted-up stick with a slanted tip in a dark case with a gold collar."""
    half = rng.uniform(0.115, 0.135)
    lean = 0.5 + half * pen.light * -1
    far = 1.0 - lean
    pen.tube((0.66, half * 1.45), (0.965, half * 1.45), mix(INK, rgb, 0.12), Shading.METAL)
    pen.tube((0.5, half * 1.22), (0.66, half * 1.22), GOLD, Shading.METAL)
    pen.tube((0.24, half), (0.5, half), rgb)
    pen.polygon([(lean, 0.03), (lean + (far - lean) * 0.3, 0.02), (far, 0.25), (lean, 0.25)], rgb)
    pen.polygon(
        [
            (lean, 0.045),
            (lean + (far - lean) * 0.3, 0.03),
            (far, 0.24),
            (far - (far - lean) * 0.2, 0.245),
        ],
        mix(rgb, WHITE, 0.3),
        Shading.NONE,
    )


def perfume_bottle(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A thick glass flask with tinted perfume, a label and a gold stopper."""
    half = rng.uniform(0.27, 0.33)
    top = rng.uniform(0.36, 0.42)
    pen.rectangle((0.5 - 0.1, top - 0.1, 0.5 + 0.1, top + 0.02), GOLD, Shading.METAL)
    pen.rectangle(
        (0.5 - 0.135, 0.06, 0.5 + 0.135, top - 0.07),
        mix(INK, GOLD, 0.75),
        Shading.METAL,
        radius=0.03,
    )
    box = (0.5 - half, top, 0.5 + half, 0.995)
    pen.rectangle(box, mix(rgb, WHITE, 0.45), Shading.FLAT, 0.75, radius=0.07)
    inner = (box[0] + 0.045, top + 0.09, box[2] - 0.045, 0.95)
    pen.rectangle(inner, rgb, Shading.ROUND, 0.95, radius=0.05)
    label = (0.5 - half * 0.5, top + 0.24, 0.5 + half * 0.5, top + 0.42)
    pen.rectangle(label, WHITE if sum(rgb) < 640 else (176, 160, 130), Shading.FLAT, 0.92)
    edge = box[0] + 0.02 if pen.light < 0 else box[2] - 0.045
    pen.rectangle((edge, top + 0.06, edge + 0.025, 0.9), WHITE, Shading.NONE, 0.7)


def cosmetic_jar(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A low round jar with a metal rim, a label and a lid of a lighter tone."""
    half = rng.uniform(0.38, 0.44)
    top = rng.uniform(0.42, 0.5)
    pen.tube((top + 0.2, half), (0.93, half * 0.95), rgb)
    pen.tube((top + 0.17, half * 0.97), (top + 0.2, half * 0.97), GOLD, Shading.METAL)
    pen.tube((top, half * 1.02), (top + 0.15, half * 1.02), mix(rgb, WHITE, 0.25))
    lid = (0.5 - half * 1.02, top - half * 0.163, 0.5 + half * 1.02, top + half * 0.163)
    pen.ellipse(lid, mix(rgb, WHITE, 0.5), Shading.FLAT)
    pen.rectangle(
        (0.5 - half * 0.42, top + 0.3, 0.5 + half * 0.42, top + 0.4),
        WHITE if sum(rgb) < 640 else (176, 160, 130),
        Shading.FLAT,
        0.9,
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


SHAPES: Mapping[str, Shape] = {
    "latte_glass": latte_glass,
    "coffee_cup": coffee_cup,
    "cake": cake,
    "lipstick": lipstick,
    "perfume_bottle": perfume_bottle,
    "cosmetic_jar": cosmetic_jar,
    "t_shirt": t_shirt,
    "handbag": handbag,
    "sneaker": sneaker,
    "film_reel": film_reel,
    "popcorn_bucket": popcorn_bucket,
    "plush_bear": plush_bear,
    "balloon": balloon,
    "gift_box": gift_box,
    "vase": vase,
    "plant": plant,
}
