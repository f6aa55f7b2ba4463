"""Shelves keep what was drawn: the same scenes, whoever draws them and in whatever order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.training.world.layouts import Layout, Placed
from inference.training.world.shelves import (
    NARROW_OBJECTS_MAX,
    ShelfPlan,
    draw_scene,
    draw_scenes,
    draw_shelf,
    layout_from,
    load_shelf,
)

PLAN = ShelfPlan(
    "some",
    scenes=6,
    seed=3,
    sizes=((64, 64), (48, 80)),
    counts=(0.25, 0.25, 0.25, 0.25),
    has_labels=True,
)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_shelf_gives_back_the_scenes_that_were_drawn(tmp_path: Path) -> None:
    draw_shelf(tmp_path, PLAN)
    shelf = load_shelf(tmp_path, PLAN)
    assert shelf.labels is not None
    for index, (picture, labels, layout) in enumerate(draw_scenes(PLAN)):
        assert np.array_equal(shelf.pictures[index], picture)
        assert np.array_equal(shelf.labels[index], labels)
        assert shelf.layouts[index] == layout


def test_a_scene_depends_on_seed_and_index_only() -> None:
    first, again = draw_scene(PLAN, 4), draw_scene(PLAN, 4)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], draw_scene(PLAN, 5)[0])


def test_every_size_is_squeezed_into_the_first() -> None:
    for picture, labels, _ in draw_scenes(PLAN):
        assert picture.shape == (64, 64, 3)
        assert labels.shape == (64, 64)


def test_narrow_pictures_hold_two_objects_at_most() -> None:
    narrow = ShelfPlan("narrow", 20, 1, ((48, 80),), (0.0, 0.0, 0.0, 1.0))
    assert {len(layout.objects) for _, _, layout in draw_scenes(narrow)} == {NARROW_OBJECTS_MAX}


def test_layouts_survive_json() -> None:
    layout = Layout((Placed("vase", "red", "striped"), Placed("lamp", "blue")), "a", "b", True)
    entry = {
        "objects": [
            {"object_id": "vase", "colour_id": "red", "material_id": "striped"},
            {"object_id": "lamp", "colour_id": "blue", "material_id": None},
        ],
        "surface_id": "a",
        "backdrop_id": "b",
        "overlapping": True,
    }
    assert layout_from(entry) == layout
