"""Concepts in words, as people ask a segmenter: a noun, a colour and a noun, a part of the room."""

from __future__ import annotations

import numpy as np

from inference.training.segmenter.concepts import Concept, Phrase, classes
from inference.training.world.english import plural
from inference.training.world.vocabulary import Names

FIRST_NAME_SHARE = 0.6
FLAVOUR_SHARE = 0.2
PLURAL_SHARE = 0.1
JOINED_SHARE = 0.15  # Korean names written without their space
_ARTICLES = ("", "", "", "", "the ", "a ")
_COLOURED = {"en": ("{} object", "{} thing"), "ko": ("{} 물건", "{} 것")}
_ROOM: dict[str, dict[str, tuple[str, ...]]] = {
    "wall": {"en": ("wall", "the wall", "background", "backdrop"), "ko": ("벽", "배경")},
    "surface": {"en": ("surface", "the surface"), "ko": ("표면",)},
}


class Wording:
    """Puts concepts into words. Without a generator always the plainest words."""

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        self._rng, self._classes = rng, classes()
        self._world = self._classes.world

    def thing(self, language: str, concept: Concept) -> Phrase:
        """An object kind (one class), with the concept's colour and material."""
        (kind,) = concept.classes
        thing = self._world.objects[kind]
        flavours = None
        if concept.colour is not None and concept.material is None:
            flavours = thing.flavours.get(self._world.colours[concept.colour].id)
        if flavours and self._chance(FLAVOUR_SHARE):
            return Phrase(
                self._with_article(language, self._name(flavours, language)), language, concept
            )
        words = self._qualities(language, concept)
        noun = self._name(thing.names, language)
        if language == "en" and self._chance(PLURAL_SHARE):
            return Phrase(" ".join([*words, plural(noun)]), language, concept)
        return Phrase(self._with_article(language, " ".join([*words, noun])), language, concept)

    def coloured(self, language: str, colour: int) -> Phrase:
        """Any object of a colour."""
        said = self._name(self._world.colours[colour].names, language)
        text = self._one_of(_COLOURED[language]).format(said)
        return Phrase(text, language, Concept(self._classes.objects, colour))

    def room(self, language: str, part: str) -> Phrase:
        """The "wall" or the "surface", whatever it is made of."""
        allowed = self._classes.walls if part == "wall" else self._classes.surfaces
        return Phrase(self._one_of(_ROOM[part][language]), language, Concept(allowed))

    def surface_kind(self, language: str, kind_id: str) -> Phrase:
        """A table, a floor."""
        names = self._world.surface_kind(kind_id).names
        concept = Concept(self._classes.of_kind(kind_id))
        return Phrase(self._name(names, language), language, concept)

    def stuff(self, language: str, kind: int) -> Phrase:
        """A backdrop or a surface by its own name."""
        known = self._classes
        names = (
            self._world.backdrops[kind - known.first_backdrop].names
            if kind in known.walls
            else self._world.surfaces[kind - known.first_surface].names
        )
        return Phrase(self._name(names, language), language, Concept(frozenset({kind})))

    def _qualities(self, language: str, concept: Concept) -> list[str]:
        words = []
        if concept.colour is not None:
            words.append(self._name(self._world.colours[concept.colour].names, language))
        if concept.material is not None:
            finish = self._name(self._world.materials[concept.material].names, language)
            words.insert(0 if self._rng is None or self._chance(0.6) else len(words), finish)
        return words

    def _with_article(self, language: str, text: str) -> str:
        return self._one_of(_ARTICLES) + text if language == "en" else text

    def _name(self, names: Names, language: str) -> str:
        options = names[language]
        if self._rng is None or self._chance(FIRST_NAME_SHARE):
            return options[0]
        words = self._one_of(options)
        joined = language == "ko" and self._chance(JOINED_SHARE)
        return words.replace(" ", "") if joined else words

    def _one_of(self, options: tuple[str, ...]) -> str:
        return options[0] if self._rng is None else options[int(self._rng.integers(len(options)))]

    def _chance(self, share: float) -> bool:
        return self._rng is not None and bool(self._rng.random() < share)
