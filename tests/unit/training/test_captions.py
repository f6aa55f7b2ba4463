"""Captions name what was drawn, in the language asked for, and say what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from inference.training.captions import Caption, article, caption, with_particle
from inference.training.scenes import Layout, random_layout
from inference.training.vocabulary import LANGUAGES, Names, load_world


def _captions(language: str | None, count: int = 300) -> list[tuple[Layout, Caption]]:
    rng = np.random.default_rng(5)
    layouts = [random_layout(rng) for _ in range(count)]
    return [(layout, caption(layout, rng, language)) for layout in layouts]


def _mentions(text: str, names: Names, language: str) -> bool:
    spoken = text.replace(" ", "")
    return any(name.replace(" ", "") in spoken for name in names[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caption_names_the_object_that_was_drawn(language: str) -> None:
    world = load_world()
    for layout, said in _captions(language):
        thing = world.thing(layout.objects[0].object_id)
        names = (thing.names, *thing.flavours.values())
        assert any(_mentions(said.text, known, language) for known in names), said.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caption_names_the_colour_when_it_says_so(language: str) -> None:
    world = load_world()
    for layout, said in _captions(language):
        if not said.names_colour[0]:
            continue
        placed = layout.objects[0]
        flavour = world.thing(placed.object_id).flavours.get(placed.colour_id)
        named = _mentions(said.text, world.colour(placed.colour_id).names, language)
        assert named or (flavour and _mentions(said.text, flavour, language)), said.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_surface_and_backdrop_are_named_when_the_caption_says_so(language: str) -> None:
    world = load_world()
    for layout, said in _captions(language):
        surface = world.surface(layout.surface_id)
        backdrop = world.backdrop(layout.backdrop_id)
        if said.names_surface:
            assert _mentions(said.text, surface.names, language), said.text
        if said.names_backdrop:
            assert _mentions(said.text, backdrop.names, language), said.text


def test_about_a_third_of_the_captions_is_korean() -> None:
    languages = [said.language for _, said in _captions(None, 1000)]
    assert 0.25 < languages.count("ko") / len(languages) < 0.35


def test_the_same_seed_says_the_same() -> None:
    assert [said.text for _, said in _captions(None)] == [said.text for _, said in _captions(None)]


def test_two_objects_are_named_from_left_to_right() -> None:
    rng = np.random.default_rng(1)
    world = load_world()
    layout = random_layout(rng, count=2)
    while layout.objects[0].object_id == layout.objects[1].object_id:
        layout = random_layout(rng, count=2)
    said = caption(layout, rng, "en")
    places = []
    for placed in layout.objects:
        thing = world.thing(placed.object_id)
        names = [*thing.names["en"], *(n for f in thing.flavours.values() for n in f["en"])]
        places.append(max(said.text.find(name) for name in names))
    assert 0 <= places[0] < places[1]


def test_the_article_fits_the_word() -> None:
    assert article("orange vase") == "an"
    assert article("red vase") == "a"


def test_korean_particles_follow_the_last_syllable() -> None:
    assert with_particle("가방", "object") == "가방을"
    assert with_particle("라떼", "object") == "라떼를"
    assert with_particle("풍선", "subject") == "풍선이"
    assert with_particle("케이크", "subject") == "케이크가"
