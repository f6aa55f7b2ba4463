"""The segmenter on the generator's own pictures, against a truth made by colour.

Of a picture "a red handbag on a white table, gray wall" what is red is the handbag, with the holes
that red encloses. Asked are things that are nearly all of their colour; the ceiling is the same key
on real renders against their true masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from diffusers import StableDiffusionXLPipeline
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from inference.training.gates import Gate
from inference.training.generator.evaluation import plain_prompt
from inference.training.generator.sampling import sample
from inference.training.segmenter.measuring import iou
from inference.training.segmenter.processor import Segmenter
from inference.training.world.layouts import Layout, Placed, held_out_pairs
from inference.training.world.scenes import render
from inference.training.world.vocabulary import load_world

OBJECTS = ("t_shirt", "balloon", "handbag", "rubber_duck", "cap", "film_reel", "plush_bear")
COLOURS = ("red", "yellow", "green", "teal", "blue", "purple")
SURFACE, BACKDROP = "white_table", "gray"
FIRST_SEED = 910_000
HUE_REACH, SATURATION_MIN, VALUE_MIN = 16, 90, 40  # of 255
LANGUAGES = ("en", "ko")
Mask = NDArray[np.bool_]


def colour_key_gates(
    segmenter: Segmenter, pipeline: StableDiffusionXLPipeline, side_px: int
) -> list[Gate]:
    """Mean IoU of what the segmenter finds with what the colour says, drawn and asked alike.

    Null: what it finds against the colours of the other pictures. Where things stand in the middle
    of most pictures, that is far from nothing.
    """
    return [_gate(segmenter, pipeline, side_px, language) for language in LANGUAGES]


def _gate(
    segmenter: Segmenter, pipeline: StableDiffusionXLPipeline, side_px: int, language: str
) -> Gate:
    layouts = _layouts()
    first_seed = FIRST_SEED + 1_000 * LANGUAGES.index(language)
    prompts = [plain_prompt(layout, language) for layout in layouts]
    seeds = list(range(first_seed, first_seed + len(prompts)))
    pictures = sample(pipeline, prompts, seeds, width_px=side_px, height_px=side_px)
    rng = np.random.default_rng(first_seed)
    found, truths, ceilings = [], [], []
    for layout, picture in zip(layouts, pictures, strict=True):
        (placed,) = layout.objects
        truths.append(keyed(picture, placed.colour_id))
        masks = segmenter.find(picture, [_phrase(placed, language)])[0].masks
        found.append(masks[0] if len(masks) else np.zeros_like(truths[-1]))
        real = render(layout, rng, side_px, side_px)
        ceilings.append(iou(keyed(real.image, placed.colour_id), real.instances[0].mask))
    return Gate(
        f"{language}: IoU with colour-keyed truth on generated pictures",
        mean_iou(found, truths),
        0.8,
        null=null_iou(found, truths),
        ceiling=float(np.mean(ceilings)),
        count=len(found),
    )


def _layouts() -> list[Layout]:
    return [
        Layout((Placed(object_id, colour_id),), SURFACE, BACKDROP)
        for object_id in OBJECTS
        for colour_id in COLOURS
        if (object_id, colour_id) not in held_out_pairs()
    ]


def mean_iou(found: Sequence[Mask], truths: Sequence[Mask]) -> float:
    """The mean over pairs."""
    return float(np.mean([iou(one, other) for one, other in zip(found, truths, strict=True)]))


def null_iou(found: Sequence[Mask], truths: Sequence[Mask]) -> float:
    """The mean over all pairs of pictures that are not the same."""
    shifts = range(1, len(found))
    return float(np.mean([mean_iou(found, np.roll(truths, shift, axis=0)) for shift in shifts]))


def keyed(picture: NDArray[np.uint8], colour_id: str) -> Mask:
    """The pixels of a picture (H, W, 3) in the hue of a colour, and the holes they enclose."""
    wanted = Image.new("RGB", (1, 1), load_world().colour(colour_id).rgb).convert("HSV")
    hue, saturation, value = np.moveaxis(
        np.asarray(Image.fromarray(picture).convert("HSV")).astype(int), -1, 0
    )
    apart = np.abs(hue - wanted.getpixel((0, 0))[0])  # type: ignore[index]
    close = np.minimum(apart, 256 - apart) <= HUE_REACH
    return _filled(close & (saturation >= SATURATION_MIN) & (value >= VALUE_MIN))


def _filled(mask: Mask) -> Mask:
    """The mask without the holes that the picture's edge does not reach."""
    height, width = mask.shape
    sheet = Image.new("L", (width + 2, height + 2), 0)
    sheet.paste(Image.fromarray(mask.astype(np.uint8) * 255), (1, 1))
    ImageDraw.floodfill(sheet, (0, 0), 128)
    outside = np.asarray(sheet)[1:-1, 1:-1] == 128
    filled: Mask = ~outside
    return filled


def _phrase(placed: Placed, language: str) -> str:
    world = load_world()
    colour = world.colour(placed.colour_id).names[language][0]
    return f"{colour} {world.thing(placed.object_id).names[language][0]}"
