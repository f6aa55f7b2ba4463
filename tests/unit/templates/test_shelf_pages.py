"""Cursors of the shelf."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidArgument
from services.templates.templates.paging import Place, ShelfRequest, decode, encode


@given(st.integers(-(10**9) + 1, 10**9 - 1), st.from_regex("[a-z0-9]{1,20}", fullmatch=True))
def test_a_cursor_is_read_as_it_was_written(position: int, name: str) -> None:
    assert decode(encode(Place(position, name))) == Place(position, name)


@pytest.mark.parametrize(
    "cursor",
    ["x", "!!!!", "é", base64.urlsafe_b64encode(b"1:a\x00b").decode(), "MQ", "OTk5OTk5OTk5OTk6YQ"],
)
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        ShelfRequest.of(0, cursor)
    assert refused.value.violations[0].field == "after"


@pytest.mark.parametrize("limit", [-1, 101])
def test_a_limit_is_one_to_a_hundred(limit: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        ShelfRequest.of(limit, "")
    assert refused.value.violations[0].field == "limit"
