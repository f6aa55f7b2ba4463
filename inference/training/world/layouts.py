"""What a scene is to show: objects from left to right, a surface, a backdrop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from inference.training.world.vocabulary import World, load_world

OBJECTS_MAX = load_world().objects_max
MATERIAL_SHARE = 0.25  # of the objects that have materials
OVERLAP_SHARE = 0.35  # of the scenes with several objects
_KIN_SHARES = (0.45, 0.35, 0.2)  # same object, same colour, both


@dataclass(frozen=True)
class Placed:
    """One object of a scene, by the ids of the world; without a material it is plain."""

    object_id: str
    colour_id: str
    material_id: str | None = None


@dataclass(frozen=True)
class Layout:
    """What a scene shows; objects from left to right, side by side or partly behind each other."""

    objects: tuple[Placed, ...]
    surface_id: str
    backdrop_id: str
    overlapping: bool = False


def random_layout(
    rng: np.random.Generator,
    count: int = 1,
    kinship: float = 0.0,
    *,
    holds_out: bool = True,
    world: World | None = None,
) -> Layout:
    """Draws `count` objects (1 to 4), a surface and a backdrop, each evenly.

    With probability `kinship` two of several objects share their noun, their colour, or both: the
    scenes in which a word alone does not tell which object is meant. With `holds_out` the pairs of
    `held_out_pairs` never come up.
    """
    if not 1 <= count <= OBJECTS_MAX:
        raise ValueError(f"a scene has 1 to {OBJECTS_MAX} objects, not {count}")
    known = world or load_world()
    objects = [random_object(known, rng, holds_out=holds_out) for _ in range(count)]
    if count > 1 and rng.random() < kinship:
        objects = _made_kin(objects, rng)
    return Layout(
        tuple(objects),
        known.surfaces[int(rng.integers(len(known.surfaces)))].id,
        known.backdrops[int(rng.integers(len(known.backdrops)))].id,
        overlapping=count > 1 and bool(rng.random() < OVERLAP_SHARE),
    )


def random_object(world: World, rng: np.random.Generator, *, holds_out: bool = True) -> Placed:
    """An object in a colour, at times of a material."""
    while True:
        thing = world.objects[int(rng.integers(len(world.objects)))]
        colour = world.colours[int(rng.integers(len(world.colours)))]
        if not holds_out or (thing.id, colour.id) not in held_out_pairs():
            break
    if not thing.materials or rng.random() > MATERIAL_SHARE:
        return Placed(thing.id, colour.id)
    return Placed(thing.id, colour.id, thing.materials[int(rng.integers(len(thing.materials)))])


@cache
def held_out_pairs() -> frozenset[tuple[str, str]]:
    """(object, colour) ids that no training scene shows: one colour of each object, no flavour."""
    world = load_world()
    pairs = set()
    for order, thing in enumerate(world.objects):
        free = [colour.id for colour in world.colours if colour.id not in thing.flavours]
        pairs.add((thing.id, free[(5 * order + 3) % len(free)]))
    return frozenset(pairs)


def _made_kin(objects: Sequence[Placed], rng: np.random.Generator) -> list[Placed]:
    """Gives one object the noun, the colour, or both of another."""
    first, second = (int(index) for index in rng.permutation(len(objects))[:2])
    model, kin = objects[first], list(objects)
    way = int(rng.choice(3, p=_KIN_SHARES))
    if way == 2:
        kin[second] = model
        return kin
    other = kin[second]
    changed = (
        replace(model, colour_id=other.colour_id)
        if way == 0
        else Placed(other.object_id, model.colour_id)
    )
    if (changed.object_id, changed.colour_id) not in held_out_pairs():
        kin[second] = changed
    return kin
