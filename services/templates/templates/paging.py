"""Pages of a shelf, which people order: a place is its position, and then the id."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from kit.errors import InvalidArgument
from kit.paging import LIMIT_DEFAULT, LIMIT_MAX, Page
from services.templates.categories.domain import is_name

R = TypeVar("R")
_CURSOR = re.compile(r"(-?\d{1,9}):(.+)", re.ASCII)


@dataclass(frozen=True, order=True)
class Place:
    """Where a template stands on the shelf."""

    position: int
    id: str


START = Place(-(2**31), "")


@dataclass(frozen=True)
class ShelfRequest:
    """Which rows are wanted: those that stand behind ``after``, at most ``limit``."""

    limit: int
    after: Place

    @classmethod
    def of(cls, limit: int, after: str) -> ShelfRequest:
        """Reads a page request; a limit of 0 means the default.

        Raises:
            InvalidArgument: The limit is out of range or the cursor is not one of ours.
        """
        if not 0 <= limit <= LIMIT_MAX:
            raise InvalidArgument.of("limit", f"must be 1 to {LIMIT_MAX}")
        return cls(limit or LIMIT_DEFAULT, decode(after) if after else START)

    @property
    def fetch(self) -> int:
        """Rows to read: one more than wanted tells whether there are more."""
        return self.limit + 1

    def page(self, rows: Sequence[R], places: Sequence[Place]) -> Page[R]:
        """Cuts ``fetch`` rows to a page; ``places`` are where they stand."""
        if len(rows) <= self.limit:
            return Page(rows, "")
        return Page(rows[: self.limit], encode(places[self.limit - 1]))


def encode(place: Place) -> str:
    """Writes a place as a cursor."""
    return base64.urlsafe_b64encode(f"{place.position}:{place.id}".encode()).rstrip(b"=").decode()


def decode(cursor: str) -> Place:
    """Reads a cursor.

    Raises:
        InvalidArgument: It is not one of ours.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        found = _CURSOR.fullmatch(raw.decode())
    except (binascii.Error, ValueError):
        found = None
    if found is None or not is_name(found[2]):
        raise InvalidArgument.of("after", "must be the next_cursor of a page")
    return Place(int(found[1]), found[2])
