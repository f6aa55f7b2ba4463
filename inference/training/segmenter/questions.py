"""What the segmenter is asked about scenes that it has never seen, and what is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.training.segmenter.concepts import (
    Attributes,
    Concept,
    Phrase,
    attributes_of,
    classes,
    labels_named,
)
from inference.training.segmenter.phrases import Wording
from inference.training.segmenter.scenes import SIDE_PX
from inference.training.world.layouts import Placed, held_out_pairs, random_layout
from inference.training.world.scenes import FIRST_OBJECT, SURFACE, WALL, render
from inference.training.world.shelves import ShelfPlan, draw_scenes

HELD_OUT_REPEATS = 2
LANGUAGES = ("en", "ko")


@dataclass(frozen=True)
class Shown:
    """A scene to be asked about."""

    picture: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    attributes: Attributes

    @property
    def objects(self) -> list[int]:
        """Labels of the objects."""
        return [
            label
            for label in range(FIRST_OBJECT, len(self.attributes))
            if self.attributes[label, 0] >= 0
        ]


@dataclass(frozen=True)
class Question:
    """A phrase, why it is asked, and the labels that it names."""

    why: str
    phrase: Phrase
    wanted: list[int]


def scenes(plan: ShelfPlan) -> Iterator[Shown]:
    for picture, labels, layout in draw_scenes(plan):
        yield Shown(picture, labels, attributes_of(layout))


def held_out_scenes(rng: np.random.Generator) -> Iterator[Shown]:
    """Each held-out pair beside another object."""
    for pair in sorted(held_out_pairs()):
        for _ in range(HELD_OUT_REPEATS):
            layout = random_layout(rng, 2)
            layout = replace(layout, objects=(Placed(*pair), layout.objects[1]))
            scene = render(layout, rng, SIDE_PX, SIDE_PX)
            yield Shown(scene.image, scene.labels, attributes_of(layout))


def questions(shown: Shown, rng: np.random.Generator) -> Iterator[Question]:
    """Every object in both languages, four things that are not there, and the room."""
    yield from object_questions(shown, f"object{len(shown.objects)}")
    known, wording = classes(), Wording()
    turn = int(rng.integers(2))
    for order, (why, concept) in enumerate(_absent(shown, rng)):
        language = LANGUAGES[(turn + order) % 2]
        words = (
            wording.coloured(language, concept.colour)
            if concept.classes == known.objects and concept.colour is not None
            else wording.thing(language, concept)
        )
        yield Question(f"absent {why} {language}", words, [])
    wall, surface = int(shown.attributes[WALL, 0]), int(shown.attributes[SURFACE, 0])
    kind = known.world.surfaces[surface - known.first_surface].kind
    for language in LANGUAGES:
        yield Question(f"wall {language}", wording.room(language, "wall"), [WALL])
        yield Question(f"kind {language}", wording.surface_kind(language, kind), [SURFACE])
        yield Question(f"surface {language}", wording.stuff(language, surface), [SURFACE])
        yield Question(f"backdrop {language}", wording.stuff(language, wall), [WALL])
        other = int(rng.choice(sorted(known.surfaces - {surface})))
        yield Question(f"absent surface {language}", wording.stuff(language, other), [])


def object_questions(shown: Shown, why: str) -> Iterator[Question]:
    """Colour and noun of every object that no other object answers to."""
    for label in shown.objects:
        kind, colour, _ = (int(value) for value in shown.attributes[label])
        concept = Concept(frozenset({kind}), colour)
        if labels_named(concept, shown.attributes) == [label]:
            for language in LANGUAGES:
                yield Question(f"{why} {language}", Wording().thing(language, concept), [label])


def kin_questions(shown: Shown) -> Iterator[Question]:
    """Nouns that name several objects; and each of several that differ in colour."""
    kinds = [int(shown.attributes[label, 0]) for label in shown.objects]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        concept = Concept(frozenset({kind}))
        wanted = labels_named(concept, shown.attributes)
        for language in LANGUAGES:
            yield Question(f"several {language}", Wording().thing(language, concept), wanted)
    yield from object_questions(shown, "kin")


def _absent(shown: Shown, rng: np.random.Generator) -> Iterator[tuple[str, Concept]]:
    known = classes()

    def first(draw: Callable[[], Concept]) -> Concept:
        while True:
            concept = draw()
            if not labels_named(concept, shown.attributes):
                return concept

    def other_kind() -> frozenset[int]:
        return frozenset({int(rng.integers(known.first_backdrop))})

    def other_colour() -> int:
        return int(rng.integers(known.no_colour))

    kind, colour, _ = (int(v) for v in shown.attributes[int(rng.choice(shown.objects))])
    yield "same noun", first(lambda: Concept(frozenset({kind}), other_colour()))
    yield "same colour", first(lambda: Concept(other_kind(), colour))
    yield "noun", first(lambda: Concept(other_kind()))
    yield "pair", first(lambda: Concept(other_kind(), other_colour()))
