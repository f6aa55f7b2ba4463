"""Scenes drawn once and kept as arrays: pictures, labels and layouts of one shelf of a store."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.training.world.layouts import Layout, Placed, random_layout
from inference.training.world.scenes import render

PROCESSES = multiprocessing.cpu_count()
NARROW_OBJECTS_MAX = 2  # in pictures that are higher than wide
Size = tuple[int, int]  # (width, height) in px


@dataclass(frozen=True)
class ShelfPlan:
    """What to draw: scene `index` depends on `seed` and `index` only.

    `counts` are the shares of scenes with 1, 2, 3 and 4 objects. Each scene is drawn in one of
    `sizes`, evenly, and squeezed into the first of them.
    """

    name: str
    scenes: int
    seed: int
    sizes: tuple[Size, ...]
    counts: tuple[float, float, float, float]
    kinship: float = 0.0
    has_labels: bool = False
    holds_out: bool = True  # without the pairs that training never shows


@dataclass(frozen=True)
class Shelf:
    """Pictures uint8 (N, height, width, 3), labels uint8 (N, height, width) or None, layouts."""

    plan: ShelfPlan
    pictures: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    layouts: Sequence[Layout]


def draw_shelf(folder: Path, plan: ShelfPlan) -> None:
    """Draws the scenes of `plan` into `folder`, `PROCESSES` at a time."""
    width, height = plan.sizes[0]
    pictures = np.lib.format.open_memmap(
        _path(folder, plan, "pictures.npy"), "w+", np.uint8, (plan.scenes, height, width, 3)
    )
    labels = (
        np.lib.format.open_memmap(
            _path(folder, plan, "labels.npy"), "w+", np.uint8, (plan.scenes, height, width)
        )
        if plan.has_labels
        else None
    )
    layouts = []
    with multiprocessing.Pool(PROCESSES) as pool:
        drawn = pool.imap(partial(draw_scene, plan), range(plan.scenes), chunksize=50)
        for index, (picture, label, layout) in enumerate(drawn):
            pictures[index] = picture
            if labels is not None:
                labels[index] = label
            layouts.append(json.dumps(asdict(layout)))
    pictures.flush()
    if labels is not None:
        labels.flush()
    _path(folder, plan, "layouts.jsonl").write_text("\n".join(layouts), encoding="utf-8")


def load_shelf(folder: Path, plan: ShelfPlan) -> Shelf:
    """Opens what `draw_shelf` has written; the arrays stay on disk."""
    lines = _path(folder, plan, "layouts.jsonl").read_text(encoding="utf-8").splitlines()
    labels = _path(folder, plan, "labels.npy")
    return Shelf(
        plan,
        np.load(_path(folder, plan, "pictures.npy"), mmap_mode="r"),
        np.load(labels, mmap_mode="r") if plan.has_labels else None,
        [layout_from(json.loads(line)) for line in lines],
    )


def layout_from(entry: dict[str, object]) -> Layout:
    """The layout that `dataclasses.asdict` has taken apart."""
    objects = tuple(Placed(**placed) for placed in entry["objects"])  # type: ignore[attr-defined]
    return Layout(**{**entry, "objects": objects})  # type: ignore[arg-type]


def draw_scenes(plan: ShelfPlan) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], Layout]]:
    """The scenes of `plan` one by one, kept nowhere."""
    return (draw_scene(plan, index) for index in range(plan.scenes))


def draw_scene(plan: ShelfPlan, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Layout]:
    """Picture (H, W, 3), labels (H, W) and layout of scene `index`."""
    rng = np.random.default_rng([plan.seed, index])
    width, height = plan.sizes[int(rng.integers(len(plan.sizes)))]
    count = int(rng.choice(4, p=plan.counts)) + 1
    if height > width:
        count = min(count, NARROW_OBJECTS_MAX)
    layout = random_layout(rng, count, plan.kinship, holds_out=plan.holds_out)
    scene = render(layout, rng, width, height)
    if (width, height) == plan.sizes[0]:
        return scene.image, scene.labels, layout
    picture = Image.fromarray(scene.image).resize(plan.sizes[0], Image.Resampling.BILINEAR)
    labels = Image.fromarray(scene.labels).resize(plan.sizes[0], Image.Resampling.NEAREST)
    return np.asarray(picture), np.asarray(labels), layout


def _path(folder: Path, plan: ShelfPlan, ending: str) -> Path:
    return folder / f"{plan.name}-{ending}"
