"""Gauges that are read from the database now and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from kit import metrics
from kit.database import Database, ReadSession
from kit.identity import system

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
_FLOOR = """
    SELECT (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS unsent,
           (SELECT extract(epoch FROM app_now() - min(created_at))::float8 FROM outbox
            WHERE sent_at IS NULL) AS oldest_seconds,
           (SELECT count(*) FROM dead_event) AS dead
"""

Look = Callable[[ReadSession], Awaitable[None]]


async def observe(database: Database, looks: Sequence[Look]) -> None:
    """Sets gauges every few seconds until cancelled: those of the floor, and a service's own."""
    house = system(database.role)
    while True:
        for look in (_floor, *looks):
            try:
                await database.read(house, look)
            except Exception:
                log.warning("nothing observed", exc_info=True, extra={"look": look.__name__})
        await asyncio.sleep(EVERY_SECONDS)


async def _floor(session: ReadSession) -> None:
    row = await session.one(_FLOOR)
    metrics.OUTBOX_UNSENT.set(row["unsent"])
    metrics.OUTBOX_OLDEST.set(row["oldest_seconds"] or 0)
    metrics.DEAD_EVENTS.set(row["dead"])
