"""Pictures, masks and rules of every kind, for tests that try many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.engine.pictures.masks import Mask
from inference.engine.rules.document import Document, parse

SIDE_MAX = 40
CONCEPTS = ("wall", "floor", "소파")
sides = st.integers(1, SIDE_MAX)
seeds = st.integers(0, 2**32 - 1)
colours = st.from_regex(r"#[0-9a-fA-F]{6}", fullmatch=True)
shares, signed = st.floats(0, 1), st.floats(-1, 1)


def picture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@st.composite
def bits(draw: st.DrawFn, height: int, width: int) -> NDArray[np.bool_]:
    """Nothing, everything, rectangles, or dust."""
    kind = draw(st.sampled_from(["nothing", "everything", "rectangles", "dust"]))
    out = np.full((height, width), kind == "everything")
    if kind == "dust":
        return np.random.default_rng(draw(seeds)).random((height, width)) < draw(shares)
    for _ in range(draw(st.integers(1, 3)) if kind == "rectangles" else 0):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        out[y : y + draw(sides), x : x + draw(sides)] = True
    return out


_SETTINGS: Mapping[str, Mapping[str, st.SearchStrategy[Any]]] = {
    "recolour": {"colour": colours, "strength": shares},
    "tone": dict.fromkeys(("temperature", "saturation", "brightness", "contrast"), signed),
    "texture": {
        "image": st.just("tile"),
        "scale": st.floats(0.05, 4),
        "strength": shares,
        "shading": shares,
    },
    "remove": {},
    "blur": {"radius_px": st.floats(0.5, 30)},
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*_SETTINGS, "replace"]))
    settings = {name: draw(value) for name, value in _SETTINGS.get(kind, {}).items()}
    if kind == "replace":
        settings = draw(st.sampled_from([{"colour": "#1f6f50"}, {"image": "backdrop"}]))
    where = {
        "concept": draw(st.sampled_from(CONCEPTS)),
        "area": draw(st.sampled_from(["concept", "around"])),
        "feather_px": draw(st.integers(0, 12)),
    }
    return {"change": kind, **where, **settings}


@st.composite
def documents(draw: st.DrawFn) -> Document:
    return parse(
        {
            "concepts": draw(st.lists(changes(), min_size=1, max_size=4)),
            "protect": draw(st.lists(st.sampled_from(CONCEPTS), max_size=2)),
        }
    )


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray[np.uint8], dict[str, Mask]]:
    """A picture and a mask of every concept, overlapping as they please."""
    height, width = draw(sides), draw(sides)
    masks = {name: Mask.of(draw(bits(height, width))) for name in CONCEPTS}
    return picture(draw(seeds), height, width), masks


IMAGES = {"tile": picture(1, 5, 7), "backdrop": picture(2, 30, 20)}
