"""From a plain request to a scene that the bundled model can draw, and to its prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.worker.chains.offline.vocabulary import Match, Vocabulary
from services.worker.chains.offline.words import Words

THINGS_MAX = 2
_TOKEN = re.compile(r"[^\s,.;:!?~()\[\]{}\"'“”‘’…·/]+")


@dataclass(frozen=True)
class Thing:
    """An object and its colour, by id."""

    object: str
    colour: str


@dataclass(frozen=True)
class Scene:
    """What is drawn, by ids of the vocabulary.

    Attributes:
        things: One or two.
        surface: What they stand on.
        backdrop: What is behind.
        is_guess: Whether the text named no thing and one was chosen.
    """

    things: tuple[Thing, ...]
    surface: str
    backdrop: str
    is_guess: bool


def imagine(matches: list[Match], vocabulary: Vocabulary) -> Scene:
    """Makes a scene of the words found; what they do not say follows from the thing's kind."""
    things = _things(matches, vocabulary)
    is_guess = not things
    if not things:
        default = _last(matches, "object", places=True) or vocabulary.defaults["object"]
        things = [(default, _last(matches, "colour"))]
    colours = vocabulary.defaults["colour"]
    painted = tuple(Thing(thing, colour or _usual(colours, thing)) for thing, colour in things)
    category = vocabulary.categories[painted[0].object]
    surface, backdrop = (
        _last(matches, kind)
        or _last(matches, kind, places=True)
        or vocabulary.defaults[kind][category]
        for kind in ("surface", "backdrop")
    )
    return Scene(painted[:THINGS_MAX], surface, backdrop, is_guess)


def _usual(colours: dict[str, str], thing: str) -> str:
    return colours.get(thing, colours[""])


def _last(matches: list[Match], kind: str, *, places: bool = False) -> str:
    found = [m.meaning.ids[kind] for m in matches if kind in m.meaning.ids]
    if not places:
        found = [
            m.meaning.ids[kind] for m in matches if kind in m.meaning.ids and not m.meaning.is_place
        ]
    return found[-1] if found else ""


def _things(matches: list[Match], vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """Pairs each thing with the colour said before it, or else with one said after the last."""
    things: list[tuple[str, str]] = []
    colour, is_named = "", False
    for match in matches:
        ids = {} if match.meaning.is_place else match.meaning.ids
        if "object" not in ids:
            # "black leather": a colour's own name is not overruled by a hint of another
            if "colour" in ids and (match.meaning.is_name or not (colour and is_named)):
                colour, is_named = ids["colour"], match.meaning.is_name
        elif ids["object"] not in (thing for thing, _ in things):
            things.append((ids["object"], ids.get("colour", colour)))
            colour, is_named = "", False
    if things and colour and not things[-1][1]:
        things[-1] = (things[-1][0], colour)
    return [thing for thing in things if thing[0] in vocabulary.categories]


def describe(scene: Scene, vocabulary: Vocabulary) -> str:
    """Writes the prompt, for example "a pink latte glass on a wooden table, cream wall"."""
    english = vocabulary.english
    nouns = [
        f"{english['colour'][thing.colour]} {english['object'][thing.object]}"
        for thing in scene.things
    ]
    things = " and ".join(f"{_article(noun)} {noun}" for noun in nouns)
    surface = english["surface"][scene.surface]
    return f"{things} on {_article(surface)} {surface}, {english['backdrop'][scene.backdrop]}"


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def leave_out(text: str, matches: list[Match], words: Words) -> tuple[str, ...]:
    """Returns the words of a text that ask for something and have no part in the picture."""
    left = []
    for token in _TOKEN.finditer(text):
        touched = any(m.start < token.end() and token.start() < m.end for m in matches)
        if not touched and not words.only_asks(token.group()):
            left.append(words.bare(token.group()))
    return tuple(dict.fromkeys(left))
