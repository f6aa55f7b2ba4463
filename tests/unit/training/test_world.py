"""The vocabulary file says what the renderer can draw, and nothing else."""

from __future__ import annotations

from inference.training.world.backgrounds import TEXTURES
from inference.training.world.layouts import held_out_pairs
from inference.training.world.shapes import SHAPES
from inference.training.world.sketch import Finish
from inference.training.world.vocabulary import LANGUAGES, Named, World, load_world


def _groups(world: World) -> list[tuple[Named, ...]]:
    return [
        world.objects,
        world.colours,
        world.materials,
        world.surface_kinds,
        world.surfaces,
        world.backdrops,
    ]


def test_every_object_of_the_world_can_be_drawn_and_no_drawing_is_orphaned() -> None:
    assert {thing.id for thing in load_world().objects} == set(SHAPES)


def test_every_category_has_four_to_six_objects() -> None:
    world = load_world()
    kinds = [thing.category for thing in world.objects]
    assert set(kinds) == set(world.categories)
    assert all(4 <= kinds.count(category) <= 6 for category in world.categories)


def test_ids_are_unique_within_their_group() -> None:
    for group in _groups(load_world()):
        ids = [item.id for item in group]
        assert len(ids) == len(set(ids))


def test_everything_has_a_name_in_both_languages() -> None:
    for group in _groups(load_world()):
        for item in group:
            for language in LANGUAGES:
                assert item.names[language], (item.id, language)
                assert all(name.strip() == name for name in item.names[language])


def test_no_name_means_two_objects_or_two_colours() -> None:
    world = load_world()
    for group in (world.objects, world.colours):
        for language in LANGUAGES:
            names = [name for item in group for name in item.names[language]]
            assert len(names) == len(set(names)), language


def test_flavours_speak_of_colours_that_exist() -> None:
    world = load_world()
    colours = {colour.id for colour in world.colours}
    for thing in world.objects:
        assert set(thing.flavours) <= colours


def test_surfaces_and_backdrops_use_textures_that_the_renderer_knows() -> None:
    world = load_world()
    used = {item.texture for group in (world.surfaces, world.backdrops) for item in group}
    assert used == set(TEXTURES)


def test_every_surface_is_of_a_kind_that_has_names() -> None:
    world = load_world()
    assert {surface.kind for surface in world.surfaces} == {k.id for k in world.surface_kinds}


def test_materials_are_the_finishes_that_can_be_drawn_and_each_is_used() -> None:
    world = load_world()
    finishes = {finish.value for finish in Finish}
    assert {material.id for material in world.materials} == finishes
    assert {m for thing in world.objects for m in thing.materials} == finishes


def test_one_colour_of_every_object_is_held_out_and_no_flavour_is() -> None:
    world = load_world()
    assert len(held_out_pairs()) == len(world.objects)
    for object_id, colour_id in held_out_pairs():
        assert colour_id not in world.thing(object_id).flavours


def test_colours_lie_within_eight_bits() -> None:
    for colour in load_world().colours:
        assert all(0 <= channel <= 255 for channel in colour.rgb)
