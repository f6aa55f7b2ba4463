"""Rules on files: the same whatever is held meanwhile of masks and pictures, never all of it."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.engine.errors import InvalidRequest
from inference.engine.pictures import files as pictures
from inference.engine.pictures.masks import Mask, Runs, to_rle
from inference.engine.rules import colour, files
from inference.engine.rules.colour import ciede2000, largest_difference, to_lab
from inference.engine.rules.document import parse
from inference.engine.rules.files import Files, MaskFile, Result, apply_to_file

SIDE = 120
NAMES = ("wall", "floor", "sofa", "mug")


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def noise(seed: int, side: int = SIDE) -> bytes:
    return png(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def quarter(number: int, side: int = SIDE) -> np.ndarray:
    """A quarter of a picture and a bit of the next."""
    whole = np.zeros((side, side), bool)
    half = side // 2
    top, left = half * (number // 2), half * (number % 2)
    whole[top : top + half + 3, left : left + half + 3] = True
    return whole


RULE = parse(
    {
        "concepts": [
            {"concept": "wall", "change": "recolour", "colour": "#2f6fb0", "feather_px": 3},
            {"concept": "floor", "change": "texture", "image": "tile"},
            {"concept": "sofa", "change": "replace", "image": "tile"},
        ],
        "protect": ["mug"],
    }
)


def given(side: int = SIDE, **more: Any) -> Files:
    masks: dict[str, list[MaskFile]] = {
        name: [to_rle(Mask.of(quarter(at, side)))] for at, name in enumerate(NAMES)
    }
    return Files(noise(1, side), masks, {"tile": noise(2, 20)} | more)


def alike(one: Result, other: Result) -> bool:
    return one.png == other.png and one.proof == other.proof


def test_masks_that_are_held_as_runs_change_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    held = files._masks(given().masks, SIDE, SIDE)
    assert {type(each) for each in held.values()} == {Mask}
    done = apply_to_file(given(), RULE, 90)
    monkeypatch.setattr(files, "UNPACKED_BYTES_MAX", 2 * quarter(0).sum())
    held = files._masks(given().masks, SIDE, SIDE)
    assert [type(each) for each in held.values()] == [Mask, Mask, Runs, Runs]
    assert alike(apply_to_file(given(), RULE, 90), done)
    assert done.proof.protected_pixels == quarter(3).sum()


def test_what_a_concept_covers_is_all_of_its_masks_whatever_their_kind() -> None:
    parts = [np.zeros((SIDE, SIDE), bool) for _ in range(3)]
    for at, part in enumerate(parts):
        part[at * 30 : at * 30 + 25] = True
    said = [to_rle(Mask.of(parts[0])), png(np.uint8(parts[1] * 255)), to_rle(Mask.of(parts[2]))]
    whole = files._mask("wall", said, SIDE, SIDE)
    assert np.array_equal(whole.whole() != 0, np.any(parts, axis=0))
    with pytest.raises(InvalidRequest, match="another size"):
        files._mask("wall", [png(np.zeros((4, 4), np.uint8))], SIDE, SIDE)


def test_a_picture_that_a_rule_uses_is_read_when_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[bytes] = []
    decode = pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda data: read.append(data) or decode(data))
    tone = parse({"concepts": [{"concept": "wall", "change": "tone", "contrast": 1}]})
    assert apply_to_file(given(other=b"no picture"), tone).width == SIDE
    assert b"no picture" not in read
    broken = Files(given().picture, given().masks, {"tile": b"no picture"})
    with pytest.raises(InvalidRequest) as refused:
        apply_to_file(broken, RULE)
    assert refused.value.field == "images"


def test_the_proof_of_a_large_picture_needs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    first, second = (rng.integers(0, 256, (200_000, 3), dtype=np.uint8) for _ in range(2))
    first[:4_999] = second[:4_999]  # so that the largest stands last
    expected = ciede2000(to_lab(first[:5000]), to_lab(second[:5000])).max()
    monkeypatch.setattr(colour, "_PAIRS_AT_ONCE", 1_000)
    assert largest_difference(first[:5000], second[:5000]) == pytest.approx(expected, abs=1e-9)
    tracemalloc.start()
    largest_difference(first, second)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_file_says_how_large_it_is_before_it_is_unpacked() -> None:
    assert pictures.pixels_said(noise(1)) == SIDE * SIDE
    assert pictures.pixels_said(b"no picture") == 0
