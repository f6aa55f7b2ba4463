"""What the segmenter is asked: phrases mean what they say, and what is absent is absent."""

from __future__ import annotations

import numpy as np
import pytest

from inference.training.segmenter.concepts import (
    Concept,
    attributes_of,
    classes,
    concept_masks,
    labels_named,
    most_of_a_kind,
)
from inference.training.segmenter.phrases import Wording
from inference.training.segmenter.prompts import ABSENT, PRESENT, PROMPTS, STUFF, draw_prompts
from inference.training.world.layouts import Layout, Placed, held_out_pairs, random_layout

LAYOUT = Layout(
    (Placed("vase", "red"), Placed("vase", "blue", "striped"), Placed("lamp", "red")),
    "wooden_table",
    "brick",
)
ATTRIBUTES = attributes_of(LAYOUT)
VASE, LAMP = classes().of_object("vase"), classes().of_object("lamp")
RED = classes().of_placed(Placed("vase", "red"))[1]
STRIPED = classes().of_placed(Placed("vase", "red", "striped"))[2]


@pytest.mark.parametrize(
    ("concept", "labels"),
    [
        (Concept(frozenset({VASE})), [2, 3]),
        (Concept(frozenset({VASE}), RED), [2]),
        (Concept(classes().objects, RED), [2, 4]),
        (Concept(frozenset({VASE}), None, STRIPED), [3]),
        (Concept(frozenset({LAMP}), None, STRIPED), []),
        (Concept(classes().walls), [0]),
        (Concept(classes().of_kind("table")), [1]),
        (Concept(classes().of_kind("lawn")), []),
    ],
)
def test_a_concept_names_the_parts_that_it_allows(concept: Concept, labels: list[int]) -> None:
    assert labels_named(concept, ATTRIBUTES) == labels


@pytest.mark.parametrize(
    ("objects", "most"),
    [(("vase",), 1), (("vase", "lamp"), 1), (("lamp", "vase", "vase"), 2), (("vase",) * 4, 4)],
)
def test_the_most_of_a_kind_counts_objects_alone(objects: tuple[str, ...], most: int) -> None:
    placed = tuple(Placed(name, "red") for name in objects)
    assert most_of_a_kind(attributes_of(Layout(placed, "wooden_table", "brick"))) == most


def test_rows_of_masks_name_the_same_parts_as_concepts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        attributes = attributes_of(random_layout(rng, 3, 0.7))
        for prompt in draw_prompts(attributes, rng):
            means = concept_masks([prompt.phrase.concept])
            named = [
                label
                for label, (kind, colour, material) in enumerate(attributes.tolist())
                if kind >= 0
                and means.classes[0, kind] * means.colours[0, colour] * means.materials[0, material]
            ]
            assert named == prompt.labels


def test_a_scene_is_asked_for_what_is_there_and_for_what_is_not() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        attributes = attributes_of(random_layout(rng, int(rng.integers(1, 5)), 0.6))
        prompts = draw_prompts(attributes, rng)
        assert len(prompts) == PROMPTS
        assert all(prompt.labels for prompt in prompts[:PRESENT])
        assert not any(prompt.labels for prompt in prompts[PRESENT : PRESENT + ABSENT])


def test_a_noun_that_several_objects_share_is_asked_for_mostly() -> None:
    rng = np.random.default_rng(5)
    asked = [
        any(prompt.labels == [2, 3] for prompt in draw_prompts(ATTRIBUTES, rng)[:PRESENT])
        for _ in range(200)
    ]
    assert np.mean(asked) > 0.75


def test_parts_of_the_room_are_there_mostly_but_not_always() -> None:
    rng = np.random.default_rng(2)
    there = [
        bool(prompt.labels)
        for _ in range(300)
        for prompt in draw_prompts(attributes_of(random_layout(rng)), rng)[-STUFF:]
    ]
    assert 0.6 < np.mean(there) < 0.8


def test_a_pair_that_is_held_out_is_not_taught_as_absent() -> None:
    rng = np.random.default_rng(3)
    known = classes()
    asked = set()
    for _ in range(800):
        for prompt in draw_prompts(attributes_of(random_layout(rng, 2)), rng):
            concept = prompt.phrase.concept
            if len(concept.classes) == 1 and concept.colour is not None:
                (kind,) = concept.classes
                pair = known.world.objects[kind].id, known.world.colours[concept.colour].id
                asked.add(pair)
    assert len(asked) > 200
    assert not asked & held_out_pairs()


def test_phrases_come_in_both_languages() -> None:
    rng = np.random.default_rng(4)
    prompts = [p for _ in range(100) for p in draw_prompts(ATTRIBUTES, rng)]
    korean = [p for p in prompts if p.phrase.language == "ko"]
    assert 0.3 < len(korean) / len(prompts) < 0.5
    assert all(not p.phrase.text.isascii() for p in korean)
    assert all(p.phrase.text.isascii() for p in prompts if p.phrase.language == "en")


def test_the_plainest_words_of_a_concept() -> None:
    concept = Concept(frozenset({VASE}), RED, STRIPED)
    assert Wording().thing("en", concept).text == "striped red vase"
    assert Wording().thing("ko", concept).text == "줄무늬 빨간 꽃병"
    assert Wording().room("ko", "wall").text == "벽"
    assert Wording().surface_kind("en", "floor").text == "floor"
