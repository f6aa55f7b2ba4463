"""Ends what nobody else ends: uploads that were not confirmed, bytes that no file refers to."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence

from kit.blobs import Blobs
from kit.crash import crash_point
from kit.database import Database, ReadSession, Row, Session
from kit.identity import system
from kit.sweeper import Sweep
from services.works.files import remains, service, store

BATCH_MAX = 50


def sweeps(database: Database, blobs: Blobs) -> Mapping[str, Sweep]:
    """Returns the sweeps of files by name.

    Args:
        database: Of works.
        blobs: The bucket.
    """
    house = system(database.role)

    async def unconfirmed() -> int:
        return len(await database.write(house, remains.expire, BATCH_MAX))

    async def quarantine() -> int:
        closed = await database.read(house, remains.closed, BATCH_MAX)
        for row in closed:
            await blobs.delete(service.quarantine_key(row["owner_id"], row["id"]))
            crash_point("sweep.quarantine_deleted")
            await database.write(house, remains.emptied, row["id"])
        return len(closed)

    async def strays() -> int:
        now = await database.read(house, ReadSession.now)
        before = now - dt.timedelta(seconds=service.STRAY_SECONDS)
        keys = await blobs.older(service.QUARANTINE, before, BATCH_MAX)
        for key in keys:
            await blobs.delete(key)
        return len(keys)

    async def contents() -> int:
        due = await database.read(house, remains.due, BATCH_MAX)
        for row in due:
            objects = await database.write(house, doom, row["owner_id"], row["id"])
            if not objects:
                continue
            await _remove(blobs, objects)
            await database.write(house, remains.gone, row["id"])
        return len(due)

    return {
        "unconfirmed": unconfirmed,
        "quarantine": quarantine,
        "strays": strays,
        "contents": contents,
    }


async def _remove(blobs: Blobs, objects: Sequence[str]) -> None:
    crash_point("sweep.content_doomed")
    for number, key in enumerate(objects):
        if number:
            crash_point("sweep.content_half_deleted")
        await blobs.delete(key)
    crash_point("sweep.content_deleted")


async def doom(session: Session, owner_id: uuid.UUID, content_id: uuid.UUID) -> list[str]:
    """Returns the objects of a content that no file refers to; from then on none can.

    This commits before the first object goes: a new upload of the same bytes then writes its own.
    """
    await store.lock_owner(session, owner_id)
    row: Row | None = await remains.lock_content(session, content_id)
    if row is None:
        return []
    if row["is_used"]:
        await remains.keep(session, content_id)
        return []
    await remains.die(session, content_id)
    return [key for key in (row["object_key"], row["thumbnail_key"]) if key]
