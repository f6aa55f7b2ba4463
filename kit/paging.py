"""Keyset pages: ``?limit=&after=`` gives ``{data, has_more, next_cursor}``, deep or not.

A list is ordered by one column that is unique and sorts as time does: a UUIDv7. The cursor is that
column's value of the last row of a page.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kit.errors import InvalidArgument

LIMIT_DEFAULT = 24
LIMIT_MAX = 100
NEWEST = uuid.UUID(int=2**128 - 1)

R = TypeVar("R")


@dataclass(frozen=True)
class Page(Generic[R]):
    """One page of rows.

    Attributes:
        rows: At most ``limit`` of them.
        next_cursor: Where the next page starts; empty at the end.
    """

    rows: Sequence[R]
    next_cursor: str

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return bool(self.next_cursor)


@dataclass(frozen=True)
class PageRequest:
    """Which rows are wanted: those with an id below ``before``, newest first, at most ``limit``."""

    limit: int
    before: uuid.UUID

    @classmethod
    def of(cls, limit: int, after: str) -> PageRequest:
        """Reads a page request; a limit of 0 means the default.

        Raises:
            InvalidArgument: The limit is out of range or the cursor is not one of ours.
        """
        if not 0 <= limit <= LIMIT_MAX:
            raise InvalidArgument.of("limit", f"must be 1 to {LIMIT_MAX}")
        return cls(limit or LIMIT_DEFAULT, _decode(after) if after else NEWEST)

    @property
    def fetch(self) -> int:
        """Rows to read: one more than wanted tells whether there are more."""
        return self.limit + 1

    def page(self, rows: Sequence[R], ids: Sequence[uuid.UUID]) -> Page[R]:
        """Cuts ``fetch`` rows to a page; ``ids`` are their cursor values."""
        if len(rows) <= self.limit:
            return Page(rows, "")
        return Page(rows[: self.limit], _encode(ids[self.limit - 1]))


def _encode(value: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(value.bytes).rstrip(b"=").decode()


def _decode(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (binascii.Error, ValueError):
        raise InvalidArgument.of("after", "must be the next_cursor of a page") from None
