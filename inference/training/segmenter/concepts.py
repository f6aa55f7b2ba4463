"""What a phrase means and which parts of a scene it names.

Every part of a scene (wall, surface, objects) has a class, a colour and a material. A phrase allows
some classes and at most one colour and one material; it names the parts that it allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inference.training.world.layouts import OBJECTS_MAX, Layout, Placed
from inference.training.world.scenes import FIRST_OBJECT
from inference.training.world.vocabulary import World, index_of, load_world

PARTS_MAX = FIRST_OBJECT + OBJECTS_MAX
Attributes = NDArray[np.int64]  # (PARTS_MAX, 3): class, colour, material of each label; -1: no part


@dataclass(frozen=True)
class Concept:
    """What a phrase asks for: classes, and a colour and a material or None for any."""

    classes: frozenset[int]
    colour: int | None = None
    material: int | None = None


@dataclass(frozen=True)
class Phrase:
    """A concept in words of one language ("en" or "ko")."""

    text: str
    language: str
    concept: Concept


class Classes:
    """The numbering: objects, then backdrops, then surfaces; colours; materials.

    Walls and surfaces have the colour and the material "none", an object without a material is
    plain.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.first_backdrop = len(world.objects)
        self.first_surface = self.first_backdrop + len(world.backdrops)
        self.count = self.first_surface + len(world.surfaces)
        self.no_colour = len(world.colours)
        self.plain, self.no_material = len(world.materials), len(world.materials) + 1
        self.objects = frozenset(range(self.first_backdrop))
        self.walls = frozenset(range(self.first_backdrop, self.first_surface))
        self.surfaces = frozenset(range(self.first_surface, self.count))

    def of_object(self, object_id: str) -> int:
        """The class of an object kind."""
        return index_of(self.world.objects, object_id)

    def of_backdrop(self, backdrop_id: str) -> int:
        """The class of a backdrop."""
        return self.first_backdrop + index_of(self.world.backdrops, backdrop_id)

    def of_surface(self, surface_id: str) -> int:
        """The class of a surface."""
        return self.first_surface + index_of(self.world.surfaces, surface_id)

    def of_kind(self, kind_id: str) -> frozenset[int]:
        """The classes of all surfaces of a kind."""
        return frozenset(
            self.of_surface(surface.id)
            for surface in self.world.surfaces
            if surface.kind == kind_id
        )

    def of_placed(self, placed: Placed) -> tuple[int, int, int]:
        """Class, colour and material of an object."""
        material = (
            index_of(self.world.materials, placed.material_id) if placed.material_id else self.plain
        )
        colour = index_of(self.world.colours, placed.colour_id)
        return self.of_object(placed.object_id), colour, material


@cache
def classes() -> Classes:
    """The numbering of the world as it is."""
    return Classes(load_world())


def attributes_of(layout: Layout) -> Attributes:
    """Class, colour and material of every label of a scene."""
    known = classes()
    stuff = (known.no_colour, known.no_material)
    rows = [
        (known.of_backdrop(layout.backdrop_id), *stuff),
        (known.of_surface(layout.surface_id), *stuff),
        *(known.of_placed(placed) for placed in layout.objects),
    ]
    table = np.full((PARTS_MAX, 3), -1, np.int64)
    table[: len(rows)] = rows
    return table


def most_of_a_kind(attributes: Attributes) -> int:
    """How many objects of one class the scene shows at most."""
    kinds = attributes[FIRST_OBJECT:, 0]
    return int(np.bincount(kinds[kinds >= 0], minlength=1).max())


def labels_named(concept: Concept, attributes: Attributes) -> list[int]:
    """The labels that a concept names in a scene; none: it is absent."""
    return [
        label
        for label, (kind, colour, material) in enumerate(attributes.tolist())
        if kind in concept.classes
        and concept.colour in (None, colour)
        and concept.material in (None, material)
    ]


@dataclass(frozen=True)
class ConceptMasks:
    """Concepts as rows of 0 and 1 over classes, colours and materials, float32 (U, n)."""

    classes: NDArray[np.float32]
    colours: NDArray[np.float32]
    materials: NDArray[np.float32]


def concept_masks(concepts: Sequence[Concept]) -> ConceptMasks:
    """One row per concept; what it leaves open is all ones."""
    known = classes()
    allowed = np.zeros((len(concepts), known.count), np.float32)
    colours = np.ones((len(concepts), known.no_colour + 1), np.float32)
    materials = np.ones((len(concepts), known.no_material + 1), np.float32)
    for row, concept in enumerate(concepts):
        allowed[row, list(concept.classes)] = 1
        if concept.colour is not None:
            colours[row] = np.eye(colours.shape[1])[concept.colour]
        if concept.material is not None:
            materials[row] = np.eye(materials.shape[1])[concept.material]
    return ConceptMasks(allowed, colours, materials)
