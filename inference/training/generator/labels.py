"""The classes of a layout as one row of numbers: four places from left to right, then the room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inference.training.world.captions import Caption
from inference.training.world.layouts import OBJECTS_MAX, Layout
from inference.training.world.vocabulary import Named, index_of, load_world

Labels = NDArray[np.int64]  # (ATTRIBUTES,) or (N, ATTRIBUTES)


@dataclass(frozen=True)
class Attribute:
    """One column: its name, and how many classes it has. The last class is "none"."""

    name: str
    classes: int


@cache
def attributes() -> tuple[Attribute, ...]:
    """Object, colour and material of each place, then surface and backdrop."""
    world = load_world()
    groups: dict[str, Sequence[Named]] = {
        "object": world.objects,
        "colour": world.colours,
        "material": world.materials,
    }
    placed = [
        Attribute(f"{name}{place + 1}", len(items) + 1)
        for name, items in groups.items()
        for place in range(OBJECTS_MAX)
    ]
    room = (
        Attribute("surface", len(world.surfaces) + 1),
        Attribute("backdrop", len(world.backdrops) + 1),
    )
    return (*placed, *room)


def columns(name: str) -> list[int]:
    """The columns of an attribute; "object", "colour" and "material" have one for each place."""
    return [order for order, one in enumerate(attributes()) if one.name.rstrip("1234") == name]


def labels_of(layout: Layout) -> Labels:
    """The classes of everything that the layout shows."""
    world = load_world()
    row = np.array([attribute.classes - 1 for attribute in attributes()])
    for place, placed in enumerate(layout.objects):
        row[columns("object")[place]] = index_of(world.objects, placed.object_id)
        row[columns("colour")[place]] = index_of(world.colours, placed.colour_id)
        if placed.material_id:
            row[columns("material")[place]] = index_of(world.materials, placed.material_id)
    row[columns("surface")[0]] = index_of(world.surfaces, layout.surface_id)
    row[columns("backdrop")[0]] = index_of(world.backdrops, layout.backdrop_id)
    return row


def labels_said(layout: Layout, said: Caption) -> Labels:
    """The classes of what a caption of the layout names; "none" for what it leaves open."""
    row = labels_of(layout)
    flags = {"colour": said.names_colour, "material": said.names_material}
    for name, named in flags.items():
        for place, is_named in enumerate(named):
            column = columns(name)[place]
            row[column] = row[column] if is_named else attributes()[column].classes - 1
    for name, is_named in (("surface", said.names_surface), ("backdrop", said.names_backdrop)):
        (column,) = columns(name)
        row[column] = row[column] if is_named else attributes()[column].classes - 1
    return row
