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
    """A kind of object.

    `flavours` maps a colour id to names that say kind and colour at once; `materials` are the ids
    of those that it may be made of, besides its plain one.
    """

    id: str
    category: str
    names: Names
    flavours: Mapping[str, Names] = field(default_factory=dict)
    materials: tuple[str, ...] = ()


@dataclass(frozen=True)
class Colour:
    """A colour that an object can have; `rgb` is its base tone before light, 0-255."""

    id: str
    names: Names
    rgb: Rgb


@dataclass(frozen=True)
class Material:
    """A finish that changes how a colour looks; `sketch.Finish` has a member of each id."""

    id: str
    names: Names


@dataclass(frozen=True)
class SurfaceKind:
    """What several surfaces are in common words: a table, a floor."""

    id: str
    names: Names


@dataclass(frozen=True)
class Surface:
    """What objects stand on; `texture` is one of `backgrounds.TEXTURES`.

    `reflection` (0-1) is how much of an object it mirrors.
    """

    id: str
    kind: str
    names: Names
    rgb: Rgb
    texture: str
    reflection: float = 0.0


@dataclass(frozen=True)
class Backdrop:
    """What is behind the objects: a vertical gradient from `rgb_top` to `rgb_low`."""

    id: str
    names: Names
    rgb_top: Rgb
    rgb_low: Rgb
    texture: str = "plain"


@dataclass(frozen=True)
class World:
    """Everything that can be drawn and named. The order of each tuple is the class order.

    A picture shows `objects_max` objects at most. `styles` and `praise` are words that people add
    and that change nothing in the picture.
    """

    objects_max: int
    categories: tuple[str, ...]
    objects: tuple[Thing, ...]
    colours: tuple[Colour, ...]
    materials: tuple[Material, ...]
    surface_kinds: tuple[SurfaceKind, ...]
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

    def material(self, id_: str) -> Material:
        """The material called `id_`; KeyError if the world has none."""
        return _by_id(self.materials, id_)

    def surface_kind(self, id_: str) -> SurfaceKind:
        """The kind of surface called `id_`; KeyError if the world has none."""
        return _by_id(self.surface_kinds, id_)

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
    """Reads the world file (UTF-8 JSON, version 2)."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if data["version"] != 2:
        raise ValueError(f"world version {data['version']} is not known")
    return World(
        objects_max=data["objects_max"],
        categories=tuple(entry["id"] for entry in data["categories"]),
        objects=tuple(_thing(entry) for entry in data["objects"]),
        colours=tuple(Colour(e["id"], _names(e), _rgb(e["rgb"])) for e in data["colours"]),
        materials=tuple(Material(e["id"], _names(e)) for e in data["materials"]),
        surface_kinds=tuple(SurfaceKind(e["id"], _names(e)) for e in data["surface_kinds"]),
        surfaces=tuple(_surface(entry) for entry in data["surfaces"]),
        backdrops=tuple(_backdrop(entry) for entry in data["backdrops"]),
        styles=_names(data["styles"]),
        praise=_names(data["praise"]),
    )


def _by_id(items: tuple[T, ...], id_: str) -> T:
    return items[index_of(items, id_)]


def _thing(entry: dict[str, Any]) -> Thing:
    flavours = {colour: _names(names) for colour, names in entry.get("flavours", {}).items()}
    materials = tuple(entry.get("materials", ()))
    return Thing(entry["id"], entry["category"], _names(entry), flavours, materials)


def _surface(entry: dict[str, Any]) -> Surface:
    return Surface(
        entry["id"],
        entry["kind"],
        _names(entry),
        _rgb(entry["rgb"]),
        entry["texture"],
        entry.get("reflection", 0.0),
    )


def _backdrop(entry: dict[str, Any]) -> Backdrop:
    tones = _rgb(entry["rgb_top"]), _rgb(entry["rgb_low"])
    return Backdrop(entry["id"], _names(entry), *tones, entry.get("texture", "plain"))


def _names(entry: dict[str, Any]) -> Names:
    return {language: tuple(entry[language]) for language in LANGUAGES}


def _rgb(values: list[int]) -> Rgb:
    red, green, blue = values
    return red, green, blue
