"""What the bundled image model can draw, and finding its words in a text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from services.worker.chains.language import detect

HINTS_PATH = Path(__file__).with_name("hints.json")
_HANGUL = range(0xAC00, 0xD7A4)
# What may follow a name of one syllable, so that a cup (컵) is not found in other words.
_AFTER_SYLLABLE = r"(?:(?![가-힣])|(?=[을를이가은는의에과와도]))"
_KINDS = ("object", "colour", "material", "surface", "backdrop")
_PASSES_MAX = 3
OBJECTS_MAX = 2  # of a model that does not say how many it can show


@dataclass(frozen=True)
class Meaning:
    """What a word stands for, by kind and id.

    Kinds are object, colour, material, surface, backdrop, and count, whose id is the number.

    Attributes:
        ids: Ids by kind; a flavour has two: "strawberry latte" is a latte and pink.
        is_name: Whether it is the thing's own name, or only hints at it.
        is_place: Whether it sets a scene, which any named thing overrules.
    """

    ids: Mapping[str, str]
    is_name: bool = True
    is_place: bool = False


@dataclass(frozen=True)
class Match:
    """Where a word was found: ``text[start:end]``."""

    start: int
    end: int
    meaning: Meaning


@dataclass(frozen=True)
class Vocabulary:
    """The bundled model's words.

    Attributes:
        words: What each word stands for, in lower case, names before hints.
        english: The first English name of each id, by kind.
        korean: The first Korean name.
        flavours: Names for an object of a colour, by language and (object, colour).
        categories: The category of each object.
        materials: What each object can be made of, besides plain.
        objects_max: How many objects a picture can show.
        defaults: What stands where the text says nothing.
    """

    words: Mapping[str, Meaning]
    english: Mapping[str, Mapping[str, str]]
    korean: Mapping[str, Mapping[str, str]]
    flavours: Mapping[tuple[str, str, str], str]
    categories: Mapping[str, str]
    materials: Mapping[str, Sequence[str]]
    objects_max: int
    defaults: Mapping[str, Any]
    _by_length: list[str] = field(default_factory=list, repr=False)

    def find(self, text: str) -> list[Match]:
        """Returns the words of a text, longest first taken, in order of place."""
        lowered = text.lower()
        taken = [False] * len(lowered)
        found: list[Match] = []
        for _ in range(_PASSES_MAX):  # what follows a found word may be one too: 핑크라떼
            before = len(found)
            for word in self._by_length:
                found += self._occurrences(word, lowered, taken)
            if len(found) == before:
                break
        return sorted(found, key=lambda match: match.start)

    def _occurrences(self, word: str, text: str, taken: list[bool]) -> Iterator[Match]:
        for match in _pattern(word).finditer(text):
            start, end = match.span()
            if any(taken[start:end]) or not _begins_word(text, start, taken):
                continue
            taken[start:end] = [True] * (end - start)
            yield Match(start, end, self.words[word])

    def can_draw(self) -> dict[str, list[str]]:
        """Returns everything by kind, in English."""
        named = {f"{kind}s": list(self.english[kind].values()) for kind in _KINDS}
        return {kind: names for kind, names in named.items() if names}


def _begins_word(text: str, start: int, taken: list[bool]) -> bool:
    if start == 0 or taken[start - 1]:
        return True
    return ord(text[start]) not in _HANGUL or ord(text[start - 1]) not in _HANGUL


@cache
def _pattern(word: str) -> re.Pattern[str]:
    escaped = re.escape(word)
    if detect(word) == "en":
        return re.compile(rf"\b{escaped}(?:e?s)?\b")
    if len(word) == 1:
        return re.compile(escaped + _AFTER_SYLLABLE)
    return re.compile(escaped.replace(r"\ ", r"\s*"))


@cache
def load_vocabulary(path: Path) -> Vocabulary:
    """Reads the world (UTF-8 JSON) and the hints that belong to it.

    Raises:
        OSError: The file cannot be read.
        KeyError: It is no world.
    """
    world = json.loads(path.read_text(encoding="utf-8"))
    hints = json.loads(HINTS_PATH.read_text(encoding="utf-8"))
    words: dict[str, Meaning] = {}
    named = {kind: {entry["id"]: entry for entry in world.get(f"{kind}s", ())} for kind in _KINDS}
    for name, meaning in _names(named):
        words.setdefault(name.lower(), meaning)
    for name, meaning in _hinted(hints, named):
        words.setdefault(name.lower(), meaning)
    return Vocabulary(
        words,
        {kind: {key: entry["en"][0] for key, entry in named[kind].items()} for kind in _KINDS},
        {kind: {key: entry["ko"][0] for key, entry in named[kind].items()} for kind in _KINDS},
        _flavours(named["object"]),
        {key: entry["category"] for key, entry in named["object"].items()},
        {key: entry.get("materials", ()) for key, entry in named["object"].items()},
        world.get("objects_max", OBJECTS_MAX),
        hints["defaults"],
        sorted(words, key=lambda word: (not words[word].is_name, -len(word), word)),
    )


Named = Mapping[str, Mapping[str, Any]]


def _names(named: Named) -> Iterator[tuple[str, Meaning]]:
    for thing, entry in named["object"].items():
        for colour, flavour in entry.get("flavours", {}).items():
            for name in flavour["en"] + flavour["ko"]:
                yield name, Meaning({"object": thing, "colour": colour})
    for kind, entries in named.items():
        for key, entry in entries.items():
            for name in entry["en"] + entry["ko"]:
                yield name, Meaning({kind: key})


def _hinted(hints: Mapping[str, Any], named: Named) -> Iterator[tuple[str, Meaning]]:
    for kind in ("object", "colour"):
        for key, names in hints[f"{kind}s"].items():
            if key in named[kind]:
                yield from ((name, Meaning({kind: key}, is_name=False)) for name in names)
    for count, names in hints["counts"].items():
        yield from ((name, Meaning({"count": count}, is_name=False)) for name in names)
    for place in hints["places"]:
        ids = {kind: place[kind] for kind in _KINDS if place.get(kind) in named[kind]}
        meaning = Meaning(ids, is_name=False, is_place=True)
        yield from ((name, meaning) for name in place["words"])


def _flavours(things: Mapping[str, Any]) -> dict[tuple[str, str, str], str]:
    return {
        (language, thing, colour): names[language][0]
        for thing, entry in things.items()
        for colour, names in entry.get("flavours", {}).items()
        for language in ("en", "ko")
    }
