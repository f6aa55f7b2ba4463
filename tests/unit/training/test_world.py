"""The vocabulary file says what the renderer can draw, and nothing else."""

from __future__ import annotations

from inference.training.scenes import TEXTURES
from inference.training.shapes import SHAPES
from inference.training.vocabulary import LANGUAGES, Named, World, load_world


def _groups(world: World) -> list[tuple[Named, ...]]:
    return [world.objects, world.colours, world.surfaces, world.backdrops]


def test_every_object_of_the_world_can_be_drawn_and_no_drawing_is_orphaned() -> None:
    assert {thing.id for thing in load_world().objects} == set(SHAPES)


def test_every_object_belongs_to_a_category_and_every_category_has_one() -> None:
    world = load_world()
    assert {thing.category for thing in world.objects} == set(world.categories)


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


def test_surfaces_use_textures_that_the_renderer_knows() -> None:
    assert {surface.texture for surface in load_world().surfaces} <= set(TEXTURES)


def test_colours_lie_within_eight_bits() -> None:
    for colour in load_world().colours:
        assert all(0 <= channel <= 255 for channel in colour.rgb)
