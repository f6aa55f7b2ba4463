"""Ends what nobody else ends: uploads that were not confirmed, bytes that no file refers to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from kit.blobs import Blobs
from kit.crash import crash_point
from kit.database import Database, Row, Session
from kit.identity import system
from kit.sweeper import Sweep
from services.works.files import service, store

BATCH_MAX = 50


def sweeps(database: Database, blobs: Blobs) -> Mapping[str, Sweep]:
    """Returns the sweeps of files by name.

    Args:
        database: Of works.
        blobs: The bucket.
    """
    house = system(database.role)

    async def unconfirmed() -> int:
        ended = await database.write(house, store.expire, BATCH_MAX)
        for row in ended:  # a crash here leaves them to the sweep of orphans
            await blobs.delete(service.quarantine_key(row["owner_id"], row["id"]))
        return len(ended)

    async def contents() -> int:
        due = await database.read(house, store.due, BATCH_MAX)
        for row in due:
            objects = await database.write(house, doom, row["owner_id"], row["id"])
            for key in objects:
                await blobs.delete(key)
            if objects:
                crash_point("sweep.content_deleted")
                await database.write(house, store.gone, row["id"])
        return len(due)

    return {"unconfirmed": unconfirmed, "contents": contents}


async def doom(session: Session, owner_id: uuid.UUID, content_id: uuid.UUID) -> list[str]:
    """Returns the objects of a content that no file refers to; from then on none can.

    This commits before the first object goes: a new upload of the same bytes then writes its own.
    """
    await store.lock_owner(session, owner_id)
    row: Row | None = await store.lock_content(session, content_id)
    if row is None:
        return []
    if row["is_used"]:
        await store.keep(session, content_id)
        return []
    await store.die(session, content_id)
    return [key for key in (row["object_key"], row["thumbnail_key"]) if key]
