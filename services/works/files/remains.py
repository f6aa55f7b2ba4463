"""SQL of what files leave behind, and of who looks after it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from kit.database import ReadSession, Row, Session

_EXPIRE = """
    UPDATE user_file SET state = 'expired'
    WHERE id IN (
        SELECT id FROM user_file
        WHERE state = 'pending' AND confirm_before < app_now()
          AND (attempt_until IS NULL OR attempt_until < app_now())
        ORDER BY confirm_before LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING id, owner_id
"""
_DUE = """
    SELECT id, owner_id FROM content WHERE due_at <= app_now() ORDER BY due_at LIMIT :limit
"""
_LOCK_CONTENT = """
    SELECT object_key, thumbnail_key, EXISTS (
        SELECT FROM user_file WHERE content_id = content.id AND deleted_at IS NULL) AS is_used
    FROM content WHERE id = :id AND due_at <= app_now() FOR UPDATE
"""
_KEEP = "UPDATE content SET due_at = NULL WHERE id = :id"
_DIE = "UPDATE content SET state = 'dying' WHERE id = :id"
_FORGET = "UPDATE user_file SET content_id = NULL WHERE content_id = :id"
_GONE = "DELETE FROM content WHERE id = :id AND state = 'dying'"
# What waits for its confirmation stays where it was sent to until that may not come any more.
_CLOSED = """
    SELECT id, owner_id FROM user_file
    WHERE form_until <= app_now() AND (state <> 'pending' OR deleted_at IS NOT NULL)
    ORDER BY form_until LIMIT :limit
"""
_EMPTIED = "UPDATE user_file SET form_until = NULL WHERE id = :id AND form_until <= app_now()"


async def expire(session: Session, limit: int) -> Sequence[Row]:
    """Ends files that nobody confirmed in time."""
    return await session.all(_EXPIRE, limit=limit)


async def due(session: ReadSession, limit: int) -> Sequence[Row]:
    """Reads which contents are to be looked at."""
    return await session.all(_DUE, limit=limit)


async def lock_content(session: Session, content_id: uuid.UUID) -> Row | None:
    """Locks a content that is still due, and says whether a file refers to it."""
    return await session.first(_LOCK_CONTENT, id=content_id)


async def keep(session: Session, content_id: uuid.UUID) -> None:
    """Takes a content that is used off the list."""
    await session.execute(_KEEP, id=content_id)


async def die(session: Session, content_id: uuid.UUID) -> None:
    """Makes a content one that no file may refer to any more."""
    await session.execute(_FORGET, id=content_id)
    await session.execute(_DIE, id=content_id)


async def gone(session: Session, content_id: uuid.UUID) -> None:
    """Removes a content whose objects are gone."""
    await session.execute(_GONE, id=content_id)


async def closed(session: ReadSession, limit: int) -> Sequence[Row]:
    """Reads files that need nothing of what was sent and whose forms can send no more."""
    return await session.all(_CLOSED, limit=limit)


async def emptied(session: Session, file_id: uuid.UUID) -> None:
    """Gives back the room that a file held in quarantine: nothing of it is there any more."""
    await session.execute(_EMPTIED, id=file_id)
