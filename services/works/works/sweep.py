"""Removes the objects of deleted files."""

from __future__ import annotations

import asyncio
import logging

from kit.blobs import Blobs
from kit.database import Database
from kit.identity import system
from services.works.works import store

log = logging.getLogger(__name__)

BATCH_MAX = 50


async def run(database: Database, blobs: Blobs, every_seconds: float) -> None:
    """Sweeps until cancelled."""
    while True:
        try:
            while await sweep(database, blobs):
                pass
        except Exception:
            log.exception("sweeping failed; it goes on")
        await asyncio.sleep(every_seconds)


async def sweep(database: Database, blobs: Blobs) -> int:
    """Removes a batch of objects and returns how many; removing one twice does no harm."""
    async with database.transaction(system(database.role)) as session:
        rows = await store.unswept(session, BATCH_MAX)
        for row in rows:
            await blobs.delete(row["object_key"])
        await store.mark_swept(session, [row["id"] for row in rows])
    return len(rows)
