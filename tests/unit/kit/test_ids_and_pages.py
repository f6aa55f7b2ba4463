"""Ids and pages."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidArgument
from kit.ids import parse_id, uuid7
from kit.paging import LIMIT_DEFAULT, PageRequest


def test_ids_are_version_7_and_grow() -> None:
    ids = [uuid7() for _ in range(5_000)]
    assert ids == sorted(set(ids))
    assert {(made.version, made.variant) for made in ids} == {(7, uuid.RFC_4122)}


def test_a_wrong_id_is_named() -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_id("42", "work_id")
    assert refused.value.violations[0].field == "work_id"


@given(st.lists(st.uuids(), unique=True), st.integers(1, 100))
def test_pages_show_every_row_once_in_order(ids: list[uuid.UUID], limit: int) -> None:
    stored = sorted(ids, reverse=True)
    seen: list[uuid.UUID] = []
    after = ""
    while True:
        request = PageRequest.of(limit, after)
        rows = [row for row in stored if row < request.before][: request.fetch]
        page = request.page(rows, rows)
        seen += page.rows
        after = page.next_cursor
        if not page.has_more:
            break
    assert seen == stored


@pytest.mark.parametrize(("limit", "after"), [(-1, ""), (101, ""), (5, "no cursor"), (5, "é")])
def test_a_page_request_out_of_bounds_is_refused(limit: int, after: str) -> None:
    with pytest.raises(InvalidArgument):
        PageRequest.of(limit, after)


def test_no_limit_means_the_default() -> None:
    assert PageRequest.of(0, "").limit == LIMIT_DEFAULT
