"""Draws scenes of the world: objects on a surface before a backdrop, with exact instance masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from inference.training.shapes import SHAPES
from inference.training.sketch import FloatArray, Sketch, Tone
from inference.training.vocabulary import Backdrop, Surface, World, load_world

TEXTURES = ("plain", "wood", "marble", "grass", "sand")
OBJECTS_MAX = 3
# (width, height) in px: 1:1, 3:4, 4:3, 9:16 and 16:9, the last four rounded to multiples of 16.
SHAPE_SIZES = ((128, 128), (112, 144), (144, 112), (96, 160), (160, 96))
_SIDE_SHARE = {1: (0.62, 0.78), 2: (0.4, 0.5), 3: (0.3, 0.36)}  # of the shorter side, by count


@dataclass(frozen=True)
class Placed:
    """One object of a scene, by the ids of the world."""

    object_id: str
    colour_id: str


@dataclass(frozen=True)
class Layout:
    """What a scene shows; objects from left to right."""

    objects: tuple[Placed, ...]
    surface_id: str
    backdrop_id: str


@dataclass(frozen=True)
class Instance:
    """A drawn object and the pixels that show it: bool (height, width)."""

    placed: Placed
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 (height, width, 3), and its instances. Masks never overlap."""

    image: NDArray[np.uint8]
    instances: tuple[Instance, ...]
    layout: Layout


def random_layout(rng: np.random.Generator, count: int = 1, world: World | None = None) -> Layout:
    """Draws `count` objects (1 to 3), a surface and a backdrop, each independently and evenly."""
    if not 1 <= count <= OBJECTS_MAX:
        raise ValueError(f"a scene has 1 to {OBJECTS_MAX} objects, not {count}")
    known = world or load_world()

    def pick(length: int) -> int:
        return int(rng.integers(length))

    objects = tuple(
        Placed(
            known.objects[pick(len(known.objects))].id, known.colours[pick(len(known.colours))].id
        )
        for _ in range(count)
    )
    surface = known.surfaces[pick(len(known.surfaces))]
    return Layout(objects, surface.id, known.backdrops[pick(len(known.backdrops))].id)


def render(
    layout: Layout,
    rng: np.random.Generator,
    width_px: int = 128,
    height_px: int = 128,
    world: World | None = None,
) -> Scene:
    """Draws `layout`; the rest (place, size, light, texture) comes from `rng`."""
    known = world or load_world()
    light = int(rng.choice([-1, 1]))
    horizon = float(rng.uniform(0.54, 0.68))
    canvas = draw_background(
        known.surface(layout.surface_id),
        known.backdrop(layout.backdrop_id),
        rng,
        width_px=width_px,
        height_px=height_px,
        horizon=horizon,
    )
    count = len(layout.objects)
    base = rng.uniform(0.86, 0.95)
    masks: list[NDArray[np.bool_]] = []
    for order, placed in enumerate(layout.objects):
        side = round(min(width_px, height_px) * float(rng.uniform(*_SIDE_SHARE[count])))
        pen = Sketch(side, light)
        SHAPES[placed.object_id](pen, _tinted(known.colour(placed.colour_id).rgb, rng), rng)
        jitter = 0.09 if count == 1 else 0.04
        x = round(width_px * ((order + 0.5) / count + rng.uniform(-jitter, jitter)) - side / 2)
        y = round(height_px * (base + rng.uniform(-0.02, 0.02))) - side
        mask = _place(canvas, pen, x, y)
        masks = [earlier & ~mask for earlier in masks] + [mask]
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    pairs = zip(layout.objects, masks, strict=True)
    return Scene(image, tuple(Instance(placed, mask) for placed, mask in pairs), layout)


def draw_background(
    surface: Surface,
    backdrop: Backdrop,
    rng: np.random.Generator,
    *,
    width_px: int,
    height_px: int,
    horizon: float,
) -> FloatArray:
    """The empty scene, float32 (height, width, 3) 0-255; the surface begins at `horizon`."""
    y = (np.arange(height_px, dtype=np.float32) / height_px)[:, None]
    x = (np.arange(width_px, dtype=np.float32) / width_px)[None]
    lamp = np.float32(rng.uniform(0.15, 0.85))
    top, low = np.asarray(backdrop.rgb_top, np.float32), np.asarray(backdrop.rgb_low, np.float32)
    wall = top + (low - top) * (y / horizon).clip(0, 1)[..., None]
    wall = wall * (1.07 - 0.22 * np.sqrt((x - lamp) ** 2 + (y - 0.2) ** 2))[..., None]
    depth = ((y - horizon) / (1 - horizon)).clip(0, 1)
    grain = _texture(surface.texture, x, depth, rng)[..., None]
    ground = np.asarray(surface.rgb, np.float32) + grain
    ground = ground * (0.84 + 0.22 * depth + 0.06 * (1 - np.abs(x - lamp)))[..., None]
    share = ((y - horizon) * height_px).clip(0, 1)[..., None]
    mixed: FloatArray = (wall * (1 - share) + ground * share).astype(np.float32)
    return mixed


def _texture(kind: str, x: FloatArray, depth: FloatArray, rng: np.random.Generator) -> FloatArray:
    """What is added to the surface's tone, (height, width); `depth` is 0 far and 1 near."""
    phase = float(rng.uniform(0, 6))
    if kind == "wood":
        planks = np.sin(26 * np.log1p(3 * depth) + np.sin(x * 7 + phase) * 1.2)
        return 6 * planks + 3 * np.sin(x * 4 + 40 * depth + phase)
    if kind == "marble":
        bend = np.sin(x * 5 + depth * 4 + phase + np.sin(depth * 6 + x * 3) * 1.1)
        return -24 * np.exp(-np.abs(bend) * 11)
    if kind == "grass":
        blades = np.sin(x * 70 + phase + 3 * np.sin(depth * 17)) * np.sin(depth * 30 + x * 9)
        return 9 * blades * (0.4 + depth)
    if kind == "sand":
        return 5 * np.sin(22 * np.log1p(2 * depth) + np.sin(x * 5 + phase) * 1.8)
    return 0 * (x + depth)


def _tinted(rgb: tuple[int, int, int], rng: np.random.Generator) -> Tone:
    red, green, blue = (np.asarray(rgb) + rng.normal(0, 6, 3)).clip(0, 255).tolist()
    return red, green, blue


def _place(canvas: FloatArray, pen: Sketch, x: int, y: int) -> NDArray[np.bool_]:
    """Puts the drawing and its shadow on `canvas` in place; returns the visible pixels."""
    height, width = canvas.shape[:2]
    colour, alpha, cover = pen.finish()
    _cast_shadow(canvas, cover, x, y, pen.light)
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + pen.side_px, width), min(y + pen.side_px, height)
    part = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
    spot = canvas[y0:y1, x0:x1]
    spot *= 1 - alpha[part][..., None]
    spot += colour[part]
    mask = np.zeros((height, width), np.bool_)
    mask[y0:y1, x0:x1] = cover[part] > 0.5
    return mask


def _cast_shadow(canvas: FloatArray, cover: FloatArray, x: int, y: int, light: int) -> None:
    """Darkens the ground under the object's foot and away from the lamp."""
    height, width = canvas.shape[:2]
    side = cover.shape[0]
    foot = np.flatnonzero((cover[int(side * 0.86) :] > 0.5).any(0))
    if foot.size == 0:
        return
    left, right = x + int(foot[0]), x + int(foot[-1])
    away, floor = -light * 0.1 * side, y + side
    shadow = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(shadow)
    box = (left + min(away, 0.0), floor - 0.07 * side, right + max(away, 0.0), floor + 0.05 * side)
    draw.ellipse(box, fill=120)
    soft = shadow.filter(ImageFilter.GaussianBlur(max(1.0, side * 0.03)))
    canvas *= (1 - np.asarray(soft, np.float32) / 255)[..., None]
