"""Filters of a keyset list: a statement carries those that are asked for, and no others.

A list walks its key, newest first, until a page is full; by a value that is rare, or was never
used, it would walk all of it. So one of the filters leads: rows are read in the order of its column
and the key, between two rows. Only an index over column and key serves that without sorting, so
that it is taken whatever the planner believes of the value (an owner's habits are not the house's).

Such a page is planned anew each time. A plan for no owner in particular takes him for one of many,
who has a few rows, and concludes to read them all and sort.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.database import ReadSession, Row
from kit.paging import PageRequest

# An id (UUIDv7) is made before its row, on another machine: a submission that is driven on late is
# an hour younger than its id, and clocks differ by less. A week reads little too much.
SLACK_MILLISECONDS = 7 * 24 * 3_600_000
_MILLISECONDS_MAX = 2**48 - 1
_PLAN_ANEW = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"


@dataclass(frozen=True)
class Narrowing:
    """How a list may be narrowed.

    Attributes:
        key: The column of the list's order, as the statement calls it.
        leading: Columns that have an index over column and key, behind the owner or not, the most
            telling first; each is compared with the parameter of its name.
        others: Conditions by the name of their parameter.
    """

    key: str
    leading: Sequence[str]
    others: Mapping[str, str]

    async def page(
        self,
        session: ReadSession,
        page: str,
        request: PageRequest,
        wanted: Mapping[str, Any],
        **owner: uuid.UUID,
    ) -> Sequence[Row]:
        """Reads the rows of a page.

        Args:
            session: The transaction.
            page: The statement without any filter. Its keys are between ``:since`` and ``:before``,
                its limit is ``:fetch``, and it has one ``ORDER BY``.
            request: Which page.
            wanted: Filters by parameter; None and empty mean any. ``created_from`` and
                ``created_to`` bound the keys, too.
            **owner: Whose rows, as the statement calls him.
        """
        given = {name: value for name, value in wanted.items() if value not in (None, "")}
        if given:
            await session.scalar(_PLAN_ANEW)
        keys = _keys(request, given.get("created_from"), given.get("created_to"))
        statement = self.statement(page, given)
        return await session.all(statement, fetch=request.fetch, **keys, **given, **owner)

    def statement(self, page: str, given: Mapping[str, Any]) -> str:
        """Returns the statement of a page with the filters that are given."""
        leads = next((name for name in self.leading if name in given), "")
        equal = {name: f"{name} = :{name}" for name in self.leading}
        conditions = [
            condition
            for name, condition in (equal | dict(self.others)).items()
            if name in given and name != leads
        ]
        if leads:
            row = f"({leads}, {self.key})"
            bounds = f"{self.key} < :before AND {self.key} >= :since"
            led = f"{row} < (:{leads}, :before) AND {row} >= (:{leads}, :since)"
            page = page.replace(bounds, led).replace("ORDER BY ", f"ORDER BY {leads} DESC, ")
        head, order, tail = page.partition("ORDER BY ")
        return head + "".join(f"AND {each} " for each in conditions) + order + tail


def _keys(
    request: PageRequest, created_from: dt.datetime | None, created_to: dt.datetime | None
) -> dict[str, uuid.UUID]:
    """Returns the keys among which a page of such an age is, widely: times stay a condition."""
    since, before = uuid.UUID(int=0), request.before
    if created_from is not None:
        since = _key_at(created_from, -SLACK_MILLISECONDS)
    if created_to is not None:
        before = min(before, _key_at(created_to, SLACK_MILLISECONDS))
    return {"since": since, "before": before}


def _key_at(at: dt.datetime, later_milliseconds: int) -> uuid.UUID:
    milliseconds = int(at.timestamp() * 1_000) + later_milliseconds
    return uuid.UUID(int=min(max(milliseconds, 0), _MILLISECONDS_MAX) << 80)
