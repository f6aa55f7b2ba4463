"""Drawn cosmetics: a lipstick, a perfume bottle, a cream jar, a lotion bottle with its pump."""

from __future__ import annotations

import numpy as np

from inference.training.world.sketch import GOLD, INK, WHITE, Shading, Sketch, Tone, mix


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


def lotion_bottle(pen: Sketch, rgb: Tone, rng: np.random.Generator) -> None:
    """A tall bottle with a pump, its spout to one side, and a label."""
    half, top = rng.uniform(0.2, 0.24), rng.uniform(0.32, 0.36)
    pale: Tone = WHITE if sum(rgb) < 600 else (120, 122, 130)
    way = -pen.light
    pen.rectangle((0.47, 0.08, 0.53, top), mix(pale, INK, 0.15), Shading.METAL)
    spout = sorted((0.5 - way * 0.06, 0.5 + way * 0.24))
    pen.rectangle((spout[0], 0.05, spout[1], 0.12), pale, Shading.FLAT, radius=0.03)
    pen.tube((top - 0.11, 0.1), (top - 0.02, 0.1), pale, Shading.METAL)
    pen.rectangle((0.5 - half, top, 0.5 + half, 0.99), rgb, Shading.ROUND, radius=0.08)
    label = (0.5 - half * 0.66, 0.58, 0.5 + half * 0.66, 0.82)
    pen.rectangle(label, WHITE if sum(rgb) < 640 else (176, 160, 130), Shading.FLAT, 0.92)
    pen.line([(label[0] + 0.03, 0.67), (label[2] - 0.03, 0.67)], 0.022, mix(rgb, INK, 0.3))
    pen.line([(label[0] + 0.06, 0.74), (label[2] - 0.06, 0.74)], 0.014, mix(rgb, INK, 0.1))
