"""Captions of a scene as people write them, English and Korean, sometimes saying less than all.

Part of them carry words of praise, style words and invented words, so that the text encoders learn
to pass over what the world does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inference.training.world.english import English
from inference.training.world.korean import Korean
from inference.training.world.layouts import Layout
from inference.training.world.speaker import Speaker
from inference.training.world.vocabulary import World, load_world

KOREAN_SHARE = 0.3
COLOUR_SHARE = 0.93
MATERIAL_SHARE = 0.85
COUNTED_SHARE = 0.6  # of scenes with nothing but equals: "two red bags"
SURFACE_SHARE = 0.7
BACKDROP_SHARE = 0.5


@dataclass(frozen=True)
class Caption:
    """A caption and which attributes its words name. One flag per object for colour, material."""

    text: str
    language: str
    names_colour: tuple[bool, ...]
    names_material: tuple[bool, ...]
    names_surface: bool
    names_backdrop: bool


def caption(
    layout: Layout,
    rng: np.random.Generator,
    language: str | None = None,
    world: World | None = None,
) -> Caption:
    """One of many ways to ask for `layout`; the language is drawn 70/30 unless given."""
    known = world or load_world()
    spoken = language or ("ko" if rng.random() < KOREAN_SHARE else "en")
    colours = tuple(bool(rng.random() < COLOUR_SHARE) for _ in layout.objects)
    materials = tuple(
        placed.material_id is not None and bool(rng.random() < MATERIAL_SHARE)
        for placed in layout.objects
    )
    surface = bool(rng.random() < SURFACE_SHARE)
    backdrop = bool(rng.random() < BACKDROP_SHARE)
    speaker: Speaker = Korean(known, rng) if spoken == "ko" else English(known, rng)
    first = layout.objects[0]
    if len(layout.objects) > 1 and set(layout.objects) == {first} and speaker.chance(COUNTED_SHARE):
        colours, materials = colours[:1] * len(colours), materials[:1] * len(materials)
        subject = speaker.counted(first, len(layout.objects), colours[0], materials[0])
    else:
        subject = speaker.listed(layout.objects, colours, materials)
    text = speaker.placed(subject, layout, surface=surface, backdrop=backdrop)
    return Caption(text, spoken, colours, materials, surface, backdrop)
