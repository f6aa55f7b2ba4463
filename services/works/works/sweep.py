"""Removes objects: those of deleted works, and what crashed attempts left."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from kit.blobs import Blobs
from kit.crash import crash_point
from kit.database import Database, ReadSession
from kit.identity import system
from kit.sweeper import Sweep
from services.works.works import store

BATCH_MAX = 50
# Pictures on their way between steps.
PASSING = "tmp/"


def sweeps(database: Database, blobs: Blobs, passing_seconds: float) -> Mapping[str, Sweep]:
    """Returns the sweeps of objects by name; removing one twice does no harm.

    Args:
        database: Of works.
        blobs: The bucket.
        passing_seconds: The age at which what was only passing through is an orphan.
    """
    house = system(database.role)

    async def files() -> int:
        async with database.transaction(house) as session:
            rows = await store.unswept(session, BATCH_MAX)
            for row in rows:
                await blobs.delete(row["object_key"])
            if rows:
                crash_point("sweep.object_deleted")
            await store.mark_swept(session, [row["id"] for row in rows])
        return len(rows)

    async def before() -> dt.datetime:
        now = await database.read(house, ReadSession.now)
        return now - dt.timedelta(seconds=passing_seconds)

    async def orphans() -> int:
        keys = await blobs.older(PASSING, await before(), BATCH_MAX)
        for key in keys:
            await blobs.delete(key)
        return len(keys)

    async def uploads() -> int:
        return await blobs.abort_uploads(await before(), BATCH_MAX)

    return {"files": files, "orphans": orphans, "uploads": uploads}
