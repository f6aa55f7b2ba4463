"""Pictures fit their size in pixels and bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kit.errors import InvalidArgument
from services.worker.media import encoding, pictures
from workflow.specs import ASPECTS


def _noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        ("1:1", (1080, 1080)),
        ("4:3", (1080, 810)),
        ("3:4", (810, 1080)),
        ("16:9", (1080, 608)),
        ("9:16", (608, 1080)),
    ],
)
def test_the_long_side_has_the_pixels_asked_for(aspect: str, size: tuple[int, int]) -> None:
    assert pictures.fit(_noise(128, 96), aspect, 1080).size == size


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(ASPECTS), st.integers(64, 300))
def test_any_picture_fits_any_aspect(width: int, height: int, aspect: str, side: int) -> None:
    fitted = pictures.fit(Image.new("RGB", (width, height)), aspect, side)
    assert max(fitted.size) == side
    assert fitted.size == pictures.size_of(aspect, side)


def test_cropping_keeps_the_middle() -> None:
    picture = Image.new("RGB", (300, 100), "red")
    picture.paste("blue", (100, 0, 200, 100))
    middle = pictures.fit(picture, "1:1", 64).crop((4, 4, 60, 60))
    assert middle.getcolors() == [(56 * 56, (0, 0, 255))]


@pytest.mark.parametrize("side", [0, 63, 4097])
def test_a_long_side_out_of_range_is_refused(side: int) -> None:
    with pytest.raises(InvalidArgument, match="long_side"):
        pictures.fit(_noise(64, 64), "1:1", side)


def test_a_picture_that_is_too_large_to_decode_is_refused_by_its_header() -> None:
    buffer = io.BytesIO()
    Image.new("1", (5000, 5000)).save(buffer, "PNG")
    with pytest.raises(InvalidArgument, match="pixels"):
        pictures.open_picture(buffer.getvalue())


def test_quality_stays_where_it_fits() -> None:
    encoded = encoding.encode_jpeg(Image.new("RGB", (200, 200), "pink"), 85, 2_000_000)
    assert encoded.quality == 85
    assert Image.open(io.BytesIO(encoded.data)).format == "JPEG"


def test_quality_is_lowered_until_the_file_fits() -> None:
    picture = _noise(300, 300)
    full = len(encoding.encode_jpeg(picture, 85, 2_000_000).data)
    encoded = encoding.encode_jpeg(picture, 85, full * 2 // 3)
    assert encoding.QUALITY_MIN <= encoded.quality < 85
    assert len(encoded.data) < full * 2 // 3


def test_below_quality_40_it_is_refused() -> None:
    smallest = len(encoding.encode_jpeg(_noise(300, 300), 40, 2_000_000).data)
    with pytest.raises(InvalidArgument, match="does not fit"):
        encoding.encode_jpeg(_noise(300, 300), 85, smallest)


def test_png_is_lossless_or_refused() -> None:
    picture = _noise(50, 50)
    encoded = encoding.encode_png(picture, 2_000_000)
    assert Image.open(io.BytesIO(encoded.data)).tobytes() == picture.tobytes()
    with pytest.raises(InvalidArgument, match="does not fit"):
        encoding.encode_png(picture, 100)


def test_a_thumbnail_has_320_pixels_at_most() -> None:
    assert pictures.thumbnail(_noise(1080, 608)).size == (320, 180)
    assert pictures.thumbnail(_noise(100, 90)).size == (100, 90)
