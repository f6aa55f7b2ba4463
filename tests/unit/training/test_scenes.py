"""The renderer draws what it is told, the same way for the same seed, and masks it exactly."""

from __future__ import annotations

import numpy as np
import pytest

from inference.training.world.layouts import Layout, Placed, held_out_pairs, random_layout
from inference.training.world.scenes import (
    FIRST_OBJECT,
    SHAPE_SIZES,
    SURFACE,
    WALL,
    Scene,
    render,
)
from inference.training.world.vocabulary import load_world


def _scene(seed: int, count: int = 1, width_px: int = 128, height_px: int = 128) -> Scene:
    rng = np.random.default_rng(seed)
    return render(random_layout(rng, count), rng, width_px, height_px)


def test_the_same_seed_draws_the_same_picture() -> None:
    first, second = _scene(7), _scene(7)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.instances[0].mask, second.instances[0].mask)


def test_another_seed_draws_another_picture() -> None:
    assert not np.array_equal(_scene(7).image, _scene(8).image)


@pytest.mark.parametrize("size", SHAPE_SIZES)
def test_a_picture_has_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    width, height = size
    scene = _scene(3, width_px=width, height_px=height)
    assert scene.image.shape == (height, width, 3)
    assert scene.instances[0].mask.shape == (height, width)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_masks_are_disjoint_and_every_object_is_visible(count: int) -> None:
    for seed in range(12):
        masks = np.stack([instance.mask for instance in _scene(seed, count).instances])
        assert len(masks) == count
        assert masks.sum(0).max() == 1
        assert masks.sum((1, 2)).min() > 60


def test_every_object_fits_into_the_picture_without_touching_its_upper_edge() -> None:
    world = load_world()
    for order, thing in enumerate(world.objects):
        layout = Layout((Placed(thing.id, "red"),), "white_table", "gray")
        mask = render(layout, np.random.default_rng(order)).instances[0].mask
        assert mask.any()
        assert not mask[0].any(), thing.id


def test_the_mask_covers_the_pixels_that_the_object_changed() -> None:
    layout = Layout((Placed("balloon", "red"),), "white_table", "gray")
    scene = render(layout, np.random.default_rng(1))
    inside = scene.image[scene.instances[0].mask].astype(int)
    outside = scene.image[~scene.instances[0].mask].astype(int)
    assert (inside[:, 0] - inside[:, 1]).mean() > 60
    assert abs((outside[:, 0] - outside[:, 1]).mean()) < 10


def test_an_object_wears_the_colour_that_was_named() -> None:
    for colour_id, strongest in (("red", 0), ("green", 1), ("blue", 2)):
        layout = Layout((Placed("t_shirt", colour_id),), "white_table", "gray")
        scene = render(layout, np.random.default_rng(2))
        mean = scene.image[scene.instances[0].mask].mean(0)
        assert int(mean.argmax()) == strongest


def test_a_scene_of_five_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 4"):
        random_layout(np.random.default_rng(0), count=5)


def test_every_pixel_is_wall_surface_or_one_of_the_objects() -> None:
    scene = _scene(11, count=4)
    assert set(np.unique(scene.labels)) == {WALL, SURFACE, *range(FIRST_OBJECT, FIRST_OBJECT + 4)}
    assert (scene.labels[0] != SURFACE).all()
    assert (scene.labels[-1] != WALL).all()


def test_objects_behind_others_stay_visible_for_the_most_part() -> None:
    shirts = (Placed("t_shirt", "red"),) * 4
    layout = Layout(shirts, "white_table", "gray", overlapping=True)
    for seed in range(20):
        scene = render(layout, np.random.default_rng(seed))
        areas = [np.count_nonzero(one.mask) for one in scene.instances]
        assert min(areas) > 0.45 * max(areas)


def test_objects_that_overlap_stand_closer_than_those_in_a_row() -> None:
    def gap(*, overlapping: bool) -> float:
        layout = Layout(
            (Placed("vase", "red"), Placed("vase", "blue")), "white_table", "gray", overlapping
        )
        scenes = [render(layout, np.random.default_rng(seed)) for seed in range(20)]
        middles = [[np.nonzero(i.mask)[1].mean() for i in scene.instances] for scene in scenes]
        return float(np.mean([right - left for left, right in middles]))

    assert gap(overlapping=True) < gap(overlapping=False)


@pytest.mark.parametrize("material_id", ["striped", "dotted"])
def test_a_pattern_brings_a_second_colour(material_id: str) -> None:
    def spread(material: str | None) -> float:
        layout = Layout((Placed("t_shirt", "blue", material),), "white_table", "gray")
        scene = render(layout, np.random.default_rng(4))
        return float(scene.image[scene.instances[0].mask].std(0).mean())

    assert spread(material_id) > 2 * spread(None)


def test_a_polished_surface_mirrors_what_stands_on_it() -> None:
    def blueness_below(surface_id: str) -> float:
        layout = Layout((Placed("t_shirt", "blue"),), surface_id, "gray")
        image = render(layout, np.random.default_rng(6)).image.astype(float)
        bare = render(
            Layout((Placed("t_shirt", "gray"),), surface_id, "gray"), np.random.default_rng(6)
        ).image.astype(float)
        difference = image[-4:] - bare[-4:]
        return float((difference[..., 2] - difference[..., 0]).max())

    assert blueness_below("dark_table") > 3
    assert blueness_below("wooden_table") < 1


def test_kin_scenes_share_a_noun_or_a_colour() -> None:
    rng = np.random.default_rng(9)
    kin = 0
    for _ in range(200):
        first, second = random_layout(rng, 2, kinship=1.0).objects
        kin += first.object_id == second.object_id or first.colour_id == second.colour_id
    assert kin > 180


def test_held_out_pairs_are_drawn_only_where_they_are_asked_for() -> None:
    def pairs(*, holds_out: bool) -> set[tuple[str, str]]:
        rng = np.random.default_rng(10)
        layouts = [random_layout(rng, 4, 0.8, holds_out=holds_out) for _ in range(1500)]
        return {(one.object_id, one.colour_id) for layout in layouts for one in layout.objects}

    assert not pairs(holds_out=True) & held_out_pairs()
    assert pairs(holds_out=False) & held_out_pairs()
