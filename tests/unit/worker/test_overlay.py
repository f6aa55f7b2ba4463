"""Advert text never leaves the picture and can be read on any background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import services.worker
from services.worker.media import contrast, overlay, pictures
from services.worker.media.overlay import Faces, lay
from services.worker.media.typesetting import Box, Style, drawable, extent, typeset, wrap
from workflow.specs import ASPECTS

FACES = Faces.of(Path(services.worker.__file__).parent / "media" / "fonts")
KOREAN = ("딸기 라떼, 새로 나왔어요", "한 잔에 담은 봄, 지금 매장에서 만나보세요")
ENGLISH = ("Meet our new strawberry latte", "Fresh this season, now at the counter")
WORDS = st.text(
    alphabet=st.sampled_from("가나다라마바사힣ABCxyz 0123456789,.!?%#\n\t🍓漢é"), max_size=120
)


def _picture(kind: str, size: tuple[int, int]) -> Image.Image:
    width, height = size
    if kind == "confetti":
        cells = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        return Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)
    tops = {"white": (255, 255), "black": (0, 0), "grey": (128, 128), "ramp": (255, 0)}
    column = np.linspace(*tops[kind], height)[:, None, None]
    return Image.fromarray(np.broadcast_to(column, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize("position", ["top", "bottom"])
@pytest.mark.parametrize("text", [KOREAN, ENGLISH], ids=["ko", "en"])
@pytest.mark.parametrize("kind", ["white", "black", "grey", "ramp", "confetti"])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_text_has_contrast_on_every_background(
    aspect: str, kind: str, text: tuple[str, str], position: str
) -> None:
    size = pictures.size_of(aspect, 480)
    overlaid = lay(_picture(kind, size), *text, position, FACES)
    assert overlaid.contrast >= contrast.CONTRAST_MIN
    assert " ".join(overlaid.lines) == " ".join(text)  # nothing was cut
    assert overlaid.picture.size == size


@pytest.mark.parametrize("position", ["top", "bottom"])
def test_text_stands_where_it_is_asked_for(position: str) -> None:
    overlaid = lay(_picture("grey", (480, 480)), *KOREAN, position, FACES)
    _, top, _, bottom = overlaid.box
    assert (top + bottom) / 2 < 240 if position == "top" else (top + bottom) / 2 > 240


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(headline="힣", subline="", width=64, height=64, position="top")  # its ink was 1 px over
@given(
    headline=WORDS,
    subline=WORDS,
    width=st.integers(64, 900),
    height=st.integers(64, 900),
    position=st.sampled_from(["top", "bottom"]),
)
def test_text_never_leaves_the_picture(
    headline: str, subline: str, width: int, height: int, position: str
) -> None:
    overlaid = lay(_picture("ramp", (width, height)), headline, subline, position, FACES)
    left, top, right, bottom = overlaid.box
    assert overlaid.picture.size == (width, height)
    assert 0 <= left <= right <= width
    assert 0 <= top <= bottom <= height
    setting = overlay._set((width, height), headline, subline, position, FACES)
    ink = overlay._letters((width, height), setting).getbbox()
    if ink:  # what is drawn agrees with what is said, and the margins carry no letters
        margin = round(0.05 * min(width, height))
        assert left <= ink[0]
        assert ink[2] <= right + 1
        assert top <= ink[1]
        assert ink[3] <= bottom
        assert margin <= left
        assert right <= width - margin


@settings(max_examples=80, deadline=None)
@given(text=WORDS, width=st.integers(1, 600), height=st.integers(1, 300), lines=st.integers(1, 3))
def test_a_typeset_block_fits_its_box(text: str, width: int, height: int, lines: int) -> None:
    block = typeset(text, Style(FACES.headline, 60, 12, 1.2), Box(width, height, lines))
    assert block.width <= width
    assert block.height <= height
    assert len(block.lines) <= lines


def test_korean_breaks_between_words_and_a_long_word_breaks_inside() -> None:
    block = typeset("따뜻한 딸기 라떼 한 잔", Style(FACES.headline, 60, 12, 1.2), Box(260, 400, 3))
    assert " ".join(block.lines) == "따뜻한 딸기 라떼 한 잔"
    lines = wrap("가" * 40, block.font, 200)
    assert "".join(lines) == "가" * 40
    assert all(extent(line, block.font) <= 200 for line in lines)


def test_what_does_not_fit_at_the_smallest_size_ends_with_an_ellipsis() -> None:
    block = typeset("긴 문장입니다 " * 20, Style(FACES.headline, 40, 20, 1.2), Box(200, 60, 2))
    assert block.lines[-1].endswith("…")


def test_characters_without_a_glyph_are_left_out_and_decomposed_korean_is_composed() -> None:
    assert drawable("딸기 🍓 라떼", FACES.headline) == "딸기 라떼"
    assert drawable("\u1103\u1161\u11af", FACES.headline) == "달"


def test_an_empty_text_leaves_the_picture_as_it_is() -> None:
    picture = _picture("ramp", (300, 300))
    assert lay(picture, "", " ", "bottom", FACES).picture.tobytes() == picture.tobytes()
