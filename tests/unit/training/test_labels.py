"""The rows of classes that the generator's text encoders and judge learn."""

from __future__ import annotations

import numpy as np

from inference.training.generator.labels import attributes, columns, labels_of, labels_said
from inference.training.world.captions import Caption
from inference.training.world.layouts import Layout, Placed
from inference.training.world.vocabulary import index_of, load_world

LAYOUT = Layout((Placed("vase", "red"), Placed("cap", "blue", "dotted")), "tile_floor", "brick")


def test_places_are_filled_from_the_left_and_the_rest_is_none() -> None:
    row, world = labels_of(LAYOUT), load_world()
    kinds = row[columns("object")]
    assert kinds[0] == index_of(world.objects, "vase")
    assert kinds[1] == index_of(world.objects, "cap")
    nothing = [attributes()[column].classes - 1 for column in columns("object")]
    assert list(kinds[2:]) == nothing[2:]


def test_a_caption_that_leaves_something_open_has_none_there() -> None:
    world = load_world()
    said = Caption("", "en", (True, False), (False, True), True, False)
    row = labels_said(LAYOUT, said)
    assert row[columns("colour")[0]] == index_of(world.colours, "red")
    assert row[columns("colour")[1]] == len(world.colours)
    assert row[columns("material")[1]] == index_of(world.materials, "dotted")
    assert row[columns("surface")[0]] == index_of(world.surfaces, "tile_floor")
    assert row[columns("backdrop")[0]] == len(world.backdrops)


def test_every_column_has_its_own_attribute() -> None:
    names = ("object", "colour", "material", "surface", "backdrop")
    listed = [column for name in names for column in columns(name)]
    assert sorted(listed) == list(range(len(attributes())))
    assert np.all(labels_of(LAYOUT) < [attribute.classes for attribute in attributes()])
