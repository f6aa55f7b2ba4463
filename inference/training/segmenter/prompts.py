"""What a scene is asked in training: what is there, what is not, and parts of the room."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from inference.training.segmenter.concepts import (
    Attributes,
    Concept,
    Phrase,
    classes,
    labels_named,
)
from inference.training.segmenter.phrases import Wording
from inference.training.world.layouts import held_out_pairs
from inference.training.world.scenes import FIRST_OBJECT

PRESENT, ABSENT, STUFF = 3, 3, 1
PROMPTS = PRESENT + ABSENT + STUFF  # per scene
KOREAN_SHARE = 0.4
MATERIAL_SHARE = 0.5  # of the objects that have one
STUFF_PRESENT_SHARE = 0.7
SEVERAL_SHARE = 0.9
_TRIES_MAX = 100
_NEAR_MISS_SHARES = (0.28, 0.22, 0.08, 0.22, 0.1, 0.1)  # the last one: a wrong material


@dataclass(frozen=True)
class Prompt:
    """A phrase and the labels of the scene that it names, from left to right; none: absent."""

    phrase: Phrase
    labels: list[int]


def draw_prompts(attributes: Attributes, rng: np.random.Generator) -> list[Prompt]:
    """`PRESENT` prompts that name objects, then `ABSENT` that name none, then `STUFF`."""
    asker = _Asker(attributes, rng)
    concepts = asker.present() + [asker.absent() for _ in range(ABSENT)]
    phrases = [asker.worded(concept) for concept in concepts]
    phrases += [asker.stuff() for _ in range(STUFF)]
    return [Prompt(phrase, labels_named(phrase.concept, attributes)) for phrase in phrases]


class _Asker:
    def __init__(self, attributes: Attributes, rng: np.random.Generator) -> None:
        self.attributes, self.rng, self.known = attributes, rng, classes()
        self.wording = Wording(rng)
        rows = attributes[FIRST_OBJECT:].tolist()
        self.objects = [tuple(row) for row in rows if row[0] >= 0]

    def present(self) -> list[Concept]:
        """Other objects first; kinds and colours alone in a third of the prompts.

        The last one is a kind mostly where the scene shows several of it.
        """
        order = self.rng.permutation(len(self.objects))
        kinds = [thing[0] for thing in self.objects]
        repeated = [kind for kind in kinds if kinds.count(kind) > 1]
        concepts = []
        for turn in range(PRESENT):
            thing = self.objects[order[turn % len(order)]]
            is_last = turn == PRESENT - 1
            chance = self.rng.random() + (0.35 if turn >= len(order) else 0)
            if is_last and repeated and self.rng.random() < SEVERAL_SHARE:
                concepts.append(self._kind(repeated[0]))
            elif is_last:
                concepts.append(self._full(thing) if chance < 0.5 else self._kind(thing[0]))
            elif chance < 0.6:
                concepts.append(self._full(thing))
            else:
                concepts.append(
                    self._kind(thing[0]) if chance < 0.88 else Concept(self.known.objects, thing[1])
                )
        return concepts

    def absent(self) -> Concept:
        """Near misses mostly: right noun, wrong colour; right colour, wrong noun; wrong finish."""
        for _ in range(_TRIES_MAX):
            concept = self._guess()
            if not labels_named(concept, self.attributes) and not _is_held_out(concept):
                return concept
        raise RuntimeError("every guess was in the scene")

    def worded(self, concept: Concept) -> Phrase:
        """The concept of an object in words."""
        if concept.classes == self.known.objects:
            assert concept.colour is not None
            return self.wording.coloured(self._language(), concept.colour)
        return self.wording.thing(self._language(), concept)

    def stuff(self) -> Phrase:
        """A part of the room, there or not."""
        language = self._language()
        wall, surface = int(self.attributes[0, 0]), int(self.attributes[1, 0])
        way = self.rng.random()
        if self.rng.random() < STUFF_PRESENT_SHARE:
            if way < 0.45:
                is_wall = bool(self.rng.random() < 0.6)
                return self.wording.room(language, "wall" if is_wall else "surface")
            if way < 0.7:
                return self.wording.surface_kind(language, self._kind_of(surface))
            return self.wording.stuff(language, surface if way < 0.88 else wall)
        if way < 0.35:
            own = self._kind_of(surface)
            # Marble counters are called tables too, so neither is asked for where the other is.
            skipped = {own, *({"table", "counter"} if own in ("table", "counter") else ())}
            kinds = [k.id for k in self.known.world.surface_kinds if k.id not in skipped]
            return self.wording.surface_kind(language, kinds[int(self.rng.integers(len(kinds)))])
        pool = self.known.surfaces if way < 0.75 else self.known.walls
        others = sorted(pool - {wall, surface})
        return self.wording.stuff(language, others[int(self.rng.integers(len(others)))])

    def _guess(self) -> Concept:
        kind, colour, material = self.objects[int(self.rng.integers(len(self.objects)))]
        other_kind = int(self.rng.integers(self.known.first_backdrop))
        other_colour = int(self.rng.integers(self.known.no_colour))
        near_misses = (
            Concept(frozenset({kind}), other_colour),
            Concept(frozenset({other_kind}), colour),
            Concept(frozenset({other_kind}), other_colour),
            Concept(frozenset({other_kind})),
            Concept(self.known.objects, other_colour),
        )
        way = int(self.rng.choice(len(_NEAR_MISS_SHARES), p=_NEAR_MISS_SHARES))
        if way < len(near_misses):
            return near_misses[way]
        materials = self.known.world.thing(self.known.world.objects[kind].id).materials
        finishes = [k for k, m in enumerate(self.known.world.materials) if m.id in materials]
        if not finishes:
            return Concept(frozenset({kind}), other_colour)
        finish = finishes[int(self.rng.integers(len(finishes)))]
        keeps = material == self.known.plain or self.rng.random() < 0.5
        return Concept(frozenset({kind}), colour if keeps else None, finish)

    def _full(self, thing: tuple[int, ...]) -> Concept:
        kind, colour, material = thing
        concept = Concept(frozenset({kind}), colour)
        if material != self.known.plain and self.rng.random() < MATERIAL_SHARE:
            colourless = self.rng.random() < 0.3
            concept = replace(concept, material=material, colour=None if colourless else colour)
        return concept

    def _kind(self, kind: int) -> Concept:
        return Concept(frozenset({kind}))

    def _kind_of(self, surface: int) -> str:
        return self.known.world.surfaces[surface - self.known.first_surface].kind

    def _language(self) -> str:
        return "ko" if self.rng.random() < KOREAN_SHARE else "en"


def _is_held_out(concept: Concept) -> bool:
    """True for a pair that no training scene may show: it is not taught as absent either."""
    if concept.colour is None or len(concept.classes) > 1:
        return False
    (kind,) = concept.classes
    world = classes().world
    return (world.objects[kind].id, world.colours[concept.colour].id) in held_out_pairs()
