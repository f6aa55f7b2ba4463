"""Stage `data`: scenes with one object, drawn once, kept as arrays per picture size."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.training.runs import Run
from inference.training.scenes import SHAPE_SIZES, Layout, Placed, random_layout, render
from inference.training.vocabulary import index_of, load_world

STAGE = "data"
SQUARE_SCENES = 26_000
OTHER_SCENES = 2_600  # for each size that is not square
HELD_OUT_SCENES = 600
SQUARE_SHARE = 0.76  # of training batches; the other sizes share the rest evenly
PROCESSES = 2
_HELD_OUT = "held-out"
Labels = NDArray[np.int64]  # (N, 4): object, colour, surface, backdrop


@dataclass(frozen=True)
class Bucket:
    """All scenes of one size: uint8 (N, height, width, 3), and what they show."""

    name: str
    width_px: int
    height_px: int
    pictures: NDArray[np.uint8]
    labels: Labels


def labels_of(layout: Layout) -> tuple[int, int, int, int]:
    """The class indices of a one-object layout."""
    world, placed = load_world(), layout.objects[0]
    return (
        index_of(world.objects, placed.object_id),
        index_of(world.colours, placed.colour_id),
        index_of(world.surfaces, layout.surface_id),
        index_of(world.backdrops, layout.backdrop_id),
    )


def layout_of(labels: Sequence[int] | Labels) -> Layout:
    """The one-object layout of class indices."""
    world = load_world()
    thing, colour, surface, backdrop = (int(value) for value in labels)
    placed = Placed(world.objects[thing].id, world.colours[colour].id)
    return Layout((placed,), world.surfaces[surface].id, world.backdrops[backdrop].id)


def draw_data(run: Run) -> None:
    """Draws every bucket; a scene depends on seed, bucket and index only."""
    jobs = [(f"{w}x{h}", w, h, SQUARE_SCENES if w == h else OTHER_SCENES) for w, h in SHAPE_SIZES]
    jobs.append((_HELD_OUT, 128, 128, HELD_OUT_SCENES))
    for order, (name, width, height, count) in enumerate(jobs):
        _draw_bucket(run.stage(STAGE) / name, (width, height), count, (run.seed, order))
        print(f"{STAGE}: {name} {count} scenes", flush=True)
    run.mark_done(STAGE, ", ".join(f"{name} {count}" for name, _, _, count in jobs))


def load_buckets(run: Run) -> list[Bucket]:
    """The training buckets, the square one first."""
    return [_load(run.stage(STAGE), f"{w}x{h}", w, h) for w, h in SHAPE_SIZES]


def load_held_out(run: Run) -> Bucket:
    """Square scenes that no stage trains on."""
    return _load(run.stage(STAGE), _HELD_OUT, 128, 128)


def pick_bucket(rng: np.random.Generator, count: int) -> int:
    """The bucket of a training batch: 0, the square one, with `SQUARE_SHARE`."""
    return 0 if rng.random() < SQUARE_SHARE else int(rng.integers(1, count))


def _draw_bucket(stem: Path, size: tuple[int, int], count: int, seed: tuple[int, int]) -> None:
    width, height = size
    pictures = np.lib.format.open_memmap(
        stem.with_suffix(".npy"), "w+", np.uint8, (count, height, width, 3)
    )
    labels = np.zeros((count, 4), np.int64)
    draw = partial(_draw_scene, width, height, seed)
    with multiprocessing.Pool(PROCESSES) as pool:
        for index, (picture, label) in enumerate(pool.imap(draw, range(count), chunksize=50)):
            pictures[index], labels[index] = picture, label
    pictures.flush()
    np.save(stem.with_name(f"{stem.name}-labels.npy"), labels)


def _draw_scene(
    width: int, height: int, seed: tuple[int, int], index: int
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    rng = np.random.default_rng([*seed, index])
    layout = random_layout(rng)
    return render(layout, rng, width, height).image, labels_of(layout)


def _load(folder: Path, name: str, width: int, height: int) -> Bucket:
    pictures = np.load(folder / f"{name}.npy", mmap_mode="r")
    return Bucket(name, width, height, pictures, np.load(folder / f"{name}-labels.npy"))
