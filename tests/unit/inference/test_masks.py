"""Masks are what they were when they have been written and read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.engine.errors import InvalidRequest
from inference.engine.pictures.masks import Box, Mask, from_rle, to_png, to_rle, union
from tests.unit.inference.strategies import bits, sides

# Written by pycocotools 2.0: mask.encode(numpy.asfortranarray(...))["counts"].
COCO = [
    ([[1]], "01"),
    ([[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0]], "012000O02"),
    ([[0], [0], [0], [0], [0], [1], [0], [1]], "5110"),
    (
        [
            [1, 0, 1, 0, 0, 1, 1],
            [1, 1, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 1, 1, 0],
            [0, 1, 1, 0, 0, 1, 0],
            [1, 0, 1, 1, 0, 1, 0],
        ],
        "022OO00000112ON0052",
    ),
]


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    return Mask.of(draw(bits(draw(sides), draw(sides))))


def test_runs_are_written_as_cocos_tools_write_them() -> None:
    for rows, counts in COCO:
        assert to_rle(Mask.of(np.array(rows, np.uint8))) == counts
    y, x = np.mgrid[:64, :48]
    disc = Mask.of((y - 30) ** 2 + (x - 20) ** 2 < 300)
    expected = "k67f16K4L4M2N2N2N2O0O2O0O2O000O2O000000000001N10001N101N101N2N2N2N3L4L5JXc0"
    assert to_rle(disc) == expected
    assert to_rle(Mask.empty(4, 5)) == "d0"
    assert to_rle(Mask.of(np.ones((4, 5), np.uint8))) == "0d0"


@settings(deadline=None)
@given(masks())
def test_a_mask_written_as_runs_is_read_as_it_was(mask: Mask) -> None:
    again = from_rle(to_rle(mask), mask.height, mask.width)
    assert np.array_equal(again.whole(), mask.whole())
    assert again.box == mask.box


@settings(deadline=None)
@given(masks())
def test_a_mask_written_as_png_is_read_as_it_was(mask: Mask) -> None:
    again = Image.open(io.BytesIO(to_png(mask)))
    assert np.array_equal(np.array(again), mask.whole() != 0)


@settings(deadline=None)
@given(masks(), st.data())
def test_a_window_is_that_part_of_the_whole(mask: Mask, data: st.DataObject) -> None:
    x = data.draw(st.integers(0, mask.width - 1))
    y = data.draw(st.integers(0, mask.height - 1))
    box = Box(
        x, y, data.draw(st.integers(0, mask.width - x)), data.draw(st.integers(0, mask.height - y))
    )
    part = mask.whole()[y : y + box.height, x : x + box.width]
    assert np.array_equal(mask.window(box), part)


@settings(deadline=None)
@given(st.data())
def test_a_union_covers_what_any_covers(data: st.DataObject) -> None:
    height, width = data.draw(sides), data.draw(sides)
    arrays = data.draw(st.lists(bits(height, width), max_size=3))
    together = union((Mask.of(each) for each in arrays), height, width).whole() != 0
    expected = np.any([np.zeros((height, width), bool), *arrays], axis=0)
    assert np.array_equal(together, expected)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_what_are_no_runs_is_refused_and_never_a_crash(text: str) -> None:
    try:
        mask = from_rle(text, 6, 7)
    except InvalidRequest:
        return
    assert mask.whole().shape == (6, 7)


def test_runs_of_another_size_are_refused() -> None:
    runs = to_rle(Mask.of(np.ones((4, 5), np.uint8)))
    with pytest.raises(InvalidRequest, match="do not add up to 5x5"):
        from_rle(runs, 5, 5)
