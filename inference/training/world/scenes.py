"""Draws scenes of the world: objects on a surface before a backdrop, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from inference.training.world.backgrounds import draw_background
from inference.training.world.layouts import Layout, Placed
from inference.training.world.shapes import SHAPES
from inference.training.world.sketch import Finish, FloatArray, Sketch, Tone
from inference.training.world.vocabulary import World, load_world

# (width, height) in px: 1:1, 3:4, 4:3, 9:16 and 16:9, the last four rounded to multiples of 16.
SHAPE_SIZES = ((128, 128), (112, 144), (144, 112), (96, 160), (160, 96))
WALL, SURFACE, FIRST_OBJECT = 0, 1, 2  # values of `Scene.labels`
_SIDE_SHARE = {1: (0.62, 0.78), 2: (0.4, 0.5), 3: (0.3, 0.36), 4: (0.24, 0.28)}
_OVERLAP_SIDE_SHARE = {2: (0.5, 0.62), 3: (0.42, 0.5), 4: (0.34, 0.42)}
_MIRROR_DEPTH = 0.45  # of the object's height


@dataclass(frozen=True)
class Instance:
    """A drawn object and the pixels that show it: bool (height, width)."""

    placed: Placed
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 (height, width, 3), and what each pixel shows.

    `labels`, uint8 (height, width): 0 wall, 1 surface, 2 and up the objects of the layout.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    layout: Layout

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The objects from left to right; masks never overlap."""
        return tuple(
            Instance(placed, self.labels == FIRST_OBJECT + order)
            for order, placed in enumerate(self.layout.objects)
        )


@dataclass(frozen=True)
class _Stand:
    """An object drawn and put somewhere: its upper left corner may lie outside the picture."""

    pen: Sketch
    colour: FloatArray
    alpha: FloatArray
    cover: FloatArray
    x: int
    y: int


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
    surface = known.surface(layout.surface_id)
    canvas = draw_background(
        surface,
        known.backdrop(layout.backdrop_id),
        rng,
        width_px=width_px,
        height_px=height_px,
        horizon=horizon,
    )
    below = (np.arange(height_px) / height_px - horizon) * height_px > 0.5
    labels = np.repeat(below.astype(np.uint8)[:, None], width_px, 1)
    stands = _arrange(layout, rng, known, light, width_px, height_px)
    for order in _back_to_front(stands):
        _put(canvas, stands[order], surface.reflection)
        labels[_mask(stands[order], labels.shape)] = FIRST_OBJECT + order
    return Scene(np.clip(canvas, 0, 255).astype(np.uint8), labels, layout)


def _arrange(
    layout: Layout,
    rng: np.random.Generator,
    world: World,
    light: int,
    width_px: int,
    height_px: int,
) -> list[_Stand]:
    """Objects from left to right, in a row or partly behind each other."""
    count = len(layout.objects)
    shares = (_OVERLAP_SIDE_SHARE if layout.overlapping else _SIDE_SHARE)[count]
    shorter = min(width_px, height_px)
    drawn = [
        _draw(placed, round(shorter * float(rng.uniform(*shares))), light, rng, world)
        for placed in layout.objects
    ]
    foot = height_px * float(rng.uniform(0.86, 0.95))
    step = width_px / count
    if layout.overlapping:
        step = min(step, shorter * sum(shares) / 2 * float(rng.uniform(0.55, 0.75)))
    jitter = (0.09 if count == 1 else 0.04) * width_px
    shifts = rng.uniform(-jitter, jitter, count) * (0.5 if layout.overlapping else 1)
    depths = rng.permutation(count) / max(1, count - 1) if layout.overlapping else np.zeros(count)
    lifts = rng.uniform(-0.02, 0.02, count) * height_px + depths * 0.1 * height_px
    stands = []
    for order, (pen, parts) in enumerate(drawn):
        middle = width_px / 2 + step * (order - (count - 1) / 2) + shifts[order]
        x = round(float(middle) - pen.side_px / 2)
        stands.append(_Stand(pen, *parts, x, round(float(foot - lifts[order])) - pen.side_px))
    return stands


def _draw(
    placed: Placed, side_px: int, light: int, rng: np.random.Generator, world: World
) -> tuple[Sketch, tuple[FloatArray, FloatArray, FloatArray]]:
    red, green, blue = (
        (np.asarray(world.colour(placed.colour_id).rgb) + rng.normal(0, 6, 3)).clip(0, 255).tolist()
    )
    tone: Tone = (red, green, blue)
    pen = Sketch(side_px, light, tone, Finish(placed.material_id) if placed.material_id else None)
    SHAPES[placed.object_id](pen, tone, rng)
    return pen, pen.finish()


def _back_to_front(stands: Sequence[_Stand]) -> list[int]:
    """What stands further up stands further back."""
    return sorted(range(len(stands)), key=lambda k: (stands[k].y + stands[k].pen.side_px, k))


def _window(
    stand: _Stand, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of the picture that the drawing's box covers, and that part of the drawing."""
    side = stand.pen.side_px
    x0, y0 = max(stand.x, 0), max(stand.y, 0)
    x1, y1 = min(stand.x + side, shape[1]), min(stand.y + side, shape[0])
    inner = (slice(y0 - stand.y, y1 - stand.y), slice(x0 - stand.x, x1 - stand.x))
    return (slice(y0, y1), slice(x0, x1)), inner


def _mask(stand: _Stand, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    outer, inner = _window(stand, shape)
    mask = np.zeros(shape, np.bool_)
    mask[outer] = stand.cover[inner] > 0.5
    return mask


def _put(canvas: FloatArray, stand: _Stand, reflection: float) -> None:
    """Puts mirror image, shadow and drawing on `canvas` in place."""
    if reflection > 0:
        _mirror(canvas, stand, reflection)
    _cast_shadow(canvas, stand)
    outer, inner = _window(stand, canvas.shape[:2])
    spot = canvas[outer]
    spot *= 1 - stand.alpha[inner][..., None]
    spot += stand.colour[inner]


def _mirror(canvas: FloatArray, stand: _Stand, reflection: float) -> None:
    """The foot of the object upside down below it, fading with distance."""
    side = stand.pen.side_px
    top = stand.y + side
    rows = min(round(side * _MIRROR_DEPTH), canvas.shape[0] - top)
    if rows <= 0:
        return
    x0, x1 = max(stand.x, 0), min(stand.x + side, canvas.shape[1])
    part = (slice(side - rows, side), slice(x0 - stand.x, x1 - stand.x))
    fade = reflection * (1 - np.arange(rows, dtype=np.float32) / (side * _MIRROR_DEPTH))[:, None]
    spot = canvas[top : top + rows, x0:x1]
    spot *= 1 - (stand.alpha[part][::-1] * fade)[..., None]
    spot += stand.colour[part][::-1] * fade[..., None]


def _cast_shadow(canvas: FloatArray, stand: _Stand) -> None:
    """Darkens the ground under the object's foot and away from the lamp."""
    height, width = canvas.shape[:2]
    side, floor = stand.pen.side_px, stand.y + stand.pen.side_px
    foot = np.flatnonzero((stand.cover[int(side * 0.86) :] > 0.5).any(0))
    if foot.size == 0:
        return
    left, right = stand.x + int(foot[0]), stand.x + int(foot[-1])
    away = -stand.pen.light * 0.1 * side
    blur = max(1.0, side * 0.03)
    top = max(0, int(floor - 0.07 * side - 3 * blur))
    low = min(height, int(floor + 0.05 * side + 3 * blur) + 1)
    shadow = Image.new("L", (width, low - top), 0)
    box = (left + min(away, 0.0), floor - 0.07 * side, right + max(away, 0.0), floor + 0.05 * side)
    ImageDraw.Draw(shadow).ellipse((box[0], box[1] - top, box[2], box[3] - top), fill=120)
    soft = shadow.filter(ImageFilter.GaussianBlur(blur))
    canvas[top:low] *= (1 - np.asarray(soft, np.float32) / 255)[..., None]
