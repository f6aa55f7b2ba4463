"""Captions name what was drawn, in the language asked for, and say what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from inference.training.world.captions import Caption, caption
from inference.training.world.english import article, plural
from inference.training.world.korean import with_particle
from inference.training.world.layouts import Layout, Placed, random_layout
from inference.training.world.vocabulary import LANGUAGES, Names, load_world


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


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caption_of_two_objects_says_which_one_is_further_left(language: str) -> None:
    rng = np.random.default_rng(1)
    layout = Layout((Placed("vase", "red"), Placed("lamp", "blue")), "white_table", "gray")
    right_first = {"en": "to the right of", "ko": "왼쪽에"}[language]
    left, right = {"en": ("vase", "lamp"), "ko": ("병", "램프")}[language]
    for _ in range(200):
        text = caption(layout, rng, language).text
        for other in ("table lamp", "desk lamp"):
            text = text.replace(other, "lamp")
        for other in ("탁상 램프", "탁상램프", "스탠드"):
            text = text.replace(other, "램프")
        is_turned = right_first in text and not (language == "ko" and "오른쪽에" in text)
        assert (text.find(left) > text.find(right)) == is_turned, text


def test_equal_objects_are_counted_at_times() -> None:
    rng = np.random.default_rng(2)
    layout = Layout((Placed("gift_box", "red"),) * 3, "white_table", "gray")
    english = [caption(layout, rng, "en").text for _ in range(60)]
    korean = [caption(layout, rng, "ko").text for _ in range(60)]
    assert 20 < sum("three" in text for text in english) < 50
    assert any("세 개" in text for text in korean)


def test_a_material_is_named_when_the_caption_says_so() -> None:
    rng = np.random.default_rng(3)
    world = load_world()
    layout = Layout((Placed("vase", "red", "striped"),), "white_table", "gray")
    for language in LANGUAGES:
        names = world.material("striped").names
        for _ in range(100):
            said = caption(layout, rng, language)
            assert _mentions(said.text, names, language) == said.names_material[0], said.text


def test_plurals_are_of_the_noun_that_is_counted() -> None:
    assert plural("cup of coffee") == "cups of coffee"
    assert plural("gift box") == "gift boxes"


def test_the_article_fits_the_word() -> None:
    assert article("orange vase") == "an"
    assert article("red vase") == "a"


def test_korean_particles_follow_the_last_syllable() -> None:
    assert with_particle("가방", "object") == "가방을"
    assert with_particle("라떼", "object") == "라떼를"
    assert with_particle("풍선", "subject") == "풍선이"
    assert with_particle("케이크", "subject") == "케이크가"
