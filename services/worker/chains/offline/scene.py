"""From a plain request to a scene that the bundled model can draw, and to its prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from services.worker.chains.offline.vocabulary import Match, Vocabulary
from services.worker.chains.offline.words import Words

_TOKEN = re.compile(r"[^\s,.;:!?~()\[\]{}\"'“”‘’…·/]+")
_NUMBERS = ("no", "one", "two", "three", "four")
_PLURAL_ES = ("s", "x", "ch", "sh")


@dataclass(frozen=True)
class Thing:
    """An object, its colour and its material (empty: plain), by id."""

    object: str
    colour: str
    material: str = ""


@dataclass(frozen=True)
class Scene:
    """What is drawn, by ids of the vocabulary.

    Attributes:
        things: One or more, from left to right.
        count: How often the thing is there; more than one only where there is one thing.
        surface: What they stand on.
        backdrop: What is behind.
        is_guess: Whether the text named no thing and one was chosen.
        unused: What was understood and has no part in the picture all the same.
    """

    things: tuple[Thing, ...]
    count: int
    surface: str
    backdrop: str
    is_guess: bool
    unused: tuple[Match, ...]


@dataclass(frozen=True)
class _Named:
    """A thing as the text names it."""

    object: str
    colour: str
    material: Match | None = None


def imagine(matches: Sequence[Match], vocabulary: Vocabulary) -> Scene:
    """Makes a scene of the words found; what they do not say follows from the thing's kind."""
    named = _named(matches, vocabulary)[: vocabulary.objects_max]
    default = _last(matches, "object", places=True) or vocabulary.defaults["object"]
    usual = vocabulary.defaults["colour"]
    things = tuple(
        Thing(
            one.object,
            one.colour or usual.get(one.object, usual[""]),
            one.material.meaning.ids["material"] if one.material else "",
        )
        for one in named or [_Named(default, _last(matches, "colour"))]
    )
    number = _number(matches, vocabulary) if len(things) == 1 else None
    category = vocabulary.categories[things[0].object]
    surface, backdrop = (
        _last(matches, kind)
        or _last(matches, kind, places=True)
        or vocabulary.defaults[kind][category]
        for kind in ("surface", "backdrop")
    )
    used = [number, *(one.material for one in named)]
    return Scene(
        things,
        int(number.meaning.ids["count"]) if number else 1,
        surface,
        backdrop,
        is_guess=not named,
        unused=tuple(_unused(matches, {one.object for one in named}, used)),
    )


def _last(matches: Sequence[Match], kind: str, *, places: bool = False) -> str:
    found = [m.meaning.ids[kind] for m in matches if kind in m.meaning.ids]
    if not places:
        found = [
            m.meaning.ids[kind] for m in matches if kind in m.meaning.ids and not m.meaning.is_place
        ]
    return found[-1] if found else ""


def _number(matches: Sequence[Match], vocabulary: Vocabulary) -> Match | None:
    """The first number that can be shown."""
    numbers = (match for match in matches if "count" in match.meaning.ids)
    shown = vocabulary.objects_max
    return next((one for one in numbers if int(one.meaning.ids["count"]) <= shown), None)


def _named(matches: Sequence[Match], vocabulary: Vocabulary) -> list[_Named]:
    """Pairs each thing with the colour and material said before it, or else after the last."""
    things: list[_Named] = []
    colour, is_name, material = "", False, None
    for match in matches:
        ids = {} if match.meaning.is_place else match.meaning.ids
        if "material" in ids:
            material = match
        elif "object" in ids:
            said = ids.get("colour", colour)
            if not any(ids["object"] == one.object and said in ("", one.colour) for one in things):
                things.append(_made(_Named(ids["object"], said), material, vocabulary))
                colour, is_name, material = "", False, None
        # "black leather": a colour's own name is not overruled by a hint of another
        elif "colour" in ids and (match.meaning.is_name or not (colour and is_name)):
            colour, is_name = ids["colour"], match.meaning.is_name
    if things:
        last = replace(things[-1], colour=things[-1].colour or colour)
        things[-1] = _made(last, material, vocabulary)
    return things


def _made(thing: _Named, material: Match | None, vocabulary: Vocabulary) -> _Named:
    """The thing of a material, where it can be of it."""
    if material is None or thing.material is not None:
        return thing
    can_be = material.meaning.ids["material"] in vocabulary.materials[thing.object]
    return replace(thing, material=material) if can_be else thing


def _unused(
    matches: Sequence[Match], shown: Collection[str], used: Collection[Match | None]
) -> Iterator[Match]:
    for match in matches:
        ids = match.meaning.ids
        if "object" in ids and not match.meaning.is_place:
            is_used = ids["object"] in shown
        else:
            is_used = not ids.keys() & {"material", "count"} or match in used
        if not is_used:
            yield match


def describe(scene: Scene, vocabulary: Vocabulary) -> str:
    """Writes the prompt, for example "a pink latte glass on a wooden table, cream wall"."""
    english = vocabulary.english
    nouns = [_noun(thing, english) for thing in scene.things]
    if scene.count > 1:
        things = f"{_NUMBERS[scene.count]} {_plural(nouns[0])}"
    else:
        *before, last = (f"{_article(noun)} {noun}" for noun in nouns)
        things = f"{', '.join(before)} and {last}" if before else last
    surface = english["surface"][scene.surface]
    return f"{things} on {_article(surface)} {surface}, {english['backdrop'][scene.backdrop]}"


def _noun(thing: Thing, english: Mapping[str, Mapping[str, str]]) -> str:
    words = (
        english["colour"][thing.colour],
        english["material"].get(thing.material, ""),
        english["object"][thing.object],
    )
    return " ".join(filter(None, words))


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith(_PLURAL_ES) else "s")


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def leave_out(text: str, matches: Sequence[Match], scene: Scene, words: Words) -> tuple[str, ...]:
    """Returns the words of a text that ask for something and have no part in the picture."""
    used = [match for match in matches if match not in scene.unused]
    left = []
    for token in _TOKEN.finditer(text):
        touched = any(m.start < token.end() and token.start() < m.end for m in used)
        if not touched and not words.only_asks(token.group()):
            left.append(words.bare(token.group()))
    return tuple(dict.fromkeys(left))
