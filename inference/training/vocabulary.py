"""The vocabulary of the drawn world, read from `world.json`. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

WORLD_PATH = Path(__file__).with_name("world.json")
LANGUAGES = ("en", "ko")
Rgb = tuple[int, int, int]
Names = Mapping[str, tuple[str, ...]]


class Named(Protocol):
    """Anything of the world that has an id and names per language."""

    @property
    def id(self) -> str:
        """Its name in code and data."""

    @property
    def names(self) -> Names:
        """What people call it, by language, the plainest first."""


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Thing:
    """A kind of object. `flavours` maps a colour id to names that say kind and colour at once."""

    id: str
    category: str
    names: Names
    flavours: Mapping[str, Names] = field(default_factory=dict)


@dataclass(frozen=True)
class Colour:
    """A colour that an object can have; `rgb` is its base tone before light, 0-255."""

    id: str
    names: Names
    rgb: Rgb


@dataclass(frozen=True)
class Surface:
    """What the object stands on; `texture` is one of `scenes.TEXTURES`."""

    id: str
    names: Names
    rgb: Rgb
    texture: str


@dataclass(frozen=True)
class Backdrop:
    """What is behind the object: a vertical gradient from `rgb_top` to `rgb_low`."""

    id: str
    names: Names
    rgb_top: Rgb
    rgb_low: Rgb


@dataclass(frozen=True)
class World:
    """Everything that can be drawn and named. The order of each tuple is the class order.

    `styles` and `praise` are words that people add and that change nothing in the picture.
    """

    categories: tuple[str, ...]
    objects: tuple[Thing, ...]
    colours: tuple[Colour, ...]
    surfaces: tuple[Surface, ...]
    backdrops: tuple[Backdrop, ...]
    styles: Names
    praise: Names

    def thing(self, id_: str) -> Thing:
        """The object kind called `id_`; KeyError if the world has none."""
        return _by_id(self.objects, id_)

    def colour(self, id_: str) -> Colour:
        """The colour called `id_`; KeyError if the world has none."""
        return _by_id(self.colours, id_)

    def surface(self, id_: str) -> Surface:
        """The surface called `id_`; KeyError if the world has none."""
        return _by_id(self.surfaces, id_)

    def backdrop(self, id_: str) -> Backdrop:
        """The backdrop called `id_`; KeyError if the world has none."""
        return _by_id(self.backdrops, id_)


def index_of(items: Iterable[Named], id_: str) -> int:
    """The class index of `id_` in `items`; KeyError if absent."""
    for index, item in enumerate(items):
        if item.id == id_:
            return index
    raise KeyError(id_)


@cache
def load_world(path: Path = WORLD_PATH) -> World:
    """Reads the world file (UTF-8 JSON, version 1)."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["version"] != 1:
        raise ValueError(f"world version {data['version']} is not known")
    return World(
        categories=tuple(entry["id"] for entry in data["categories"]),
        objects=tuple(_thing(entry) for entry in data["objects"]),
        colours=tuple(Colour(e["id"], _names(e), _rgb(e["rgb"])) for e in data["colours"]),
        surfaces=tuple(
            Surface(e["id"], _names(e), _rgb(e["rgb"]), e["texture"]) for e in data["surfaces"]
        ),
        backdrops=tuple(
            Backdrop(e["id"], _names(e), _rgb(e["rgb_top"]), _rgb(e["rgb_low"]))
            for e in data["backdrops"]
        ),
        styles=_names(data["styles"]),
        praise=_names(data["praise"]),
    )


def _by_id(items: tuple[T, ...], id_: str) -> T:
    return items[index_of(items, id_)]


def _thing(entry: dict[str, Any]) -> Thing:
    flavours = {colour: _names(names) for colour, names in entry.get("flavours", {}).items()}
    return Thing(entry["id"], entry["category"], _names(entry), flavours)


def _names(entry: dict[str, Any]) -> Names:
    return {language: tuple(entry[language]) for language in LANGUAGES}


def _rgb(values: list[int]) -> Rgb:
    red, green, blue = values
    return red, green, blue
