"""The renderer draws what it is told, the same way for the same seed, and masks it exactly."""

from __future__ import annotations

import numpy as np
import pytest

from inference.training.scenes import (
    SHAPE_SIZES,
    Layout,
    Placed,
    Scene,
    random_layout,
    render,
)
from inference.training.vocabulary import load_world


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


@pytest.mark.parametrize("count", [1, 2, 3])
def test_masks_are_disjoint_and_every_object_is_visible(count: int) -> None:
    for seed in range(12):
        masks = np.stack([instance.mask for instance in _scene(seed, count).instances])
        assert len(masks) == count
        assert masks.sum(0).max() == 1
        assert masks.sum((1, 2)).min() > 100


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


def test_a_scene_of_four_objects_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        random_layout(np.random.default_rng(0), count=4)
