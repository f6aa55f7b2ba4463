"""API keys as text."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import api_keys

KEY = api_keys.encode(bytes(range(32)))


@given(st.binary(min_size=32, max_size=32))
def test_every_key_has_the_one_form_that_scanners_look_for(random: bytes) -> None:
    key = api_keys.encode(random)
    assert re.fullmatch(r"atl_[0-9A-Za-z]{49}", key)
    assert api_keys.is_well_formed(key)


def test_different_bits_make_different_keys() -> None:
    bits = [bytes(32), b"\xff" * 32, b"\xff" * 31 + b"\xfe", bytes(31) + b"\x01"]
    assert len({api_keys.encode(each) for each in bits}) == len(bits)


@pytest.mark.parametrize("place", range(4, len(KEY)))
def test_a_mistyped_character_is_noticed_wherever_it_is(place: int) -> None:
    for letter in string.ascii_letters + string.digits:
        if letter != KEY[place]:
            assert not api_keys.is_well_formed(KEY[:place] + letter + KEY[place + 1 :])


@pytest.mark.parametrize(
    "text",
    ["", "atl_", KEY[:-1], KEY + "0", KEY + "\n", " " + KEY, KEY.replace("atl_", "ATL_"), "é" * 53],
)
def test_what_is_cut_off_or_longer_is_no_key(text: str) -> None:
    assert not api_keys.is_well_formed(text)


def test_neighbours_that_change_places_are_noticed() -> None:
    for place in range(4, len(KEY) - 1):
        swapped = KEY[:place] + KEY[place + 1] + KEY[place] + KEY[place + 2 :]
        assert (swapped == KEY) == api_keys.is_well_formed(swapped)
