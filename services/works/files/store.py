"""SQL of users' files and of the bytes behind them.

Who refers to which bytes, and how many an owner keeps, changes only under the owner's lock: a
deletion, its sweep and a new upload of the same bytes wait for each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.database import ReadSession, Row, Session
from kit.paging import Page, PageRequest
from services.works.files.domain import NewFile

_LOCK_OWNER = "SELECT pg_advisory_xact_lock(hashtextextended('files of ' || :owner_id, 0))"
_COLUMNS = """
    user_file.id, bucket, user_file.state, kind, name, error_code, error_message,
    user_file.created_at, CASE WHEN user_file.state = 'pending' THEN confirm_before END
        AS confirm_before,
    coalesce(content_type, declared_type) AS content_type,
    coalesce(size_bytes, declared_bytes) AS size_bytes,
    coalesce(width, 0) AS width, coalesce(height, 0) AS height, coalesce(pages, 0) AS pages,
    coalesce(sha256, '') AS sha256, object_key, thumbnail_key
"""
_FROM = "FROM user_file LEFT JOIN content ON content.id = user_file.content_id"
_MINE = "user_file.owner_id = :owner_id AND deleted_at IS NULL"
_ONE = f"SELECT {_COLUMNS} {_FROM} WHERE user_file.id = :id AND {_MINE}"
_MANY = f"SELECT {_COLUMNS} {_FROM} WHERE user_file.id = ANY(:ids) AND {_MINE}"
_PAGE = f"""
    SELECT {_COLUMNS} {_FROM}
    WHERE {_MINE} AND user_file.id < :before
      AND (CAST(:bucket AS text) = '' OR bucket = :bucket)
      AND (CAST(:state AS text) = '' OR user_file.state = :state)
      AND (CAST(:kind AS text) = '' OR kind = :kind)
    ORDER BY user_file.id DESC LIMIT :fetch
"""
_INSERT = """
    INSERT INTO user_file (id, owner_id, bucket, kind, name, declared_type, declared_bytes,
                           confirm_before, form_until)
    VALUES (:id, :owner_id, :bucket, :kind, :name, :declared_type, :declared_bytes,
            app_now() + make_interval(secs => :confirm_seconds),
            app_now() + make_interval(secs => :form_seconds))
"""
# While its form may be used, a file counts with what can be sent by it, deleted or not; or with
# what is stored of it, where that is more. Then the stored bytes count, once for all their files.
_USED = """
    SELECT (SELECT coalesce(sum(greatest(declared_bytes,
                CASE WHEN deleted_at IS NULL THEN size_bytes END)), 0)
            FROM user_file LEFT JOIN content ON content.id = content_id
            WHERE user_file.owner_id = :owner_id AND form_until IS NOT NULL
              AND user_file.id <> :besides)
         + (SELECT coalesce(sum(size_bytes), 0) FROM content
            WHERE owner_id = :owner_id AND state = 'stored' AND EXISTS (
                SELECT FROM user_file WHERE content_id = content.id AND deleted_at IS NULL
                  AND form_until IS NULL))
         + (SELECT coalesce(sum(size_bytes), 0) FROM file
            WHERE owner_id = :owner_id AND deleted_at IS NULL)
"""
_LOCK = """
    SELECT id, bucket, state, declared_type, declared_bytes, error_code, error_message,
           confirm_before < app_now() AS is_late, attempt_until > app_now() AS is_in_check
    FROM user_file WHERE id = :id AND owner_id = :owner_id AND deleted_at IS NULL
    FOR UPDATE
"""
_BEGIN = """
    UPDATE user_file SET attempt_id = :attempt_id,
        attempt_until = app_now() + make_interval(secs => :seconds)
    WHERE id = :id AND owner_id = :owner_id
"""
_STILL_MINE = """
    owner_id = :owner_id AND id = :id AND attempt_id = :attempt_id AND state = 'pending'
    AND deleted_at IS NULL
"""
_RENEW = f"""
    UPDATE user_file SET attempt_until = app_now() + make_interval(secs => :seconds)
    WHERE {_STILL_MINE}
"""
_GIVE_UP = f"UPDATE user_file SET attempt_until = NULL WHERE {_STILL_MINE}"
_REFUSE = f"""
    UPDATE user_file SET state = 'refused', error_code = :code, error_message = :message
    WHERE {_STILL_MINE}
"""
_READY = f"UPDATE user_file SET state = 'ready', content_id = :content_id WHERE {_STILL_MINE}"
_SAME_BYTES = """
    SELECT id FROM content
    WHERE owner_id = :owner_id AND sha256 = :sha256 AND state = 'stored'
"""
_USE_AGAIN = "UPDATE content SET due_at = NULL WHERE id = :id AND owner_id = :owner_id"
_INSERT_CONTENT = """
    INSERT INTO content (id, owner_id, object_key, thumbnail_key, content_type, size_bytes, sha256,
                         width, height, pages, due_at)
    VALUES (:id, :owner_id, :object_key, :thumbnail_key, :content_type, :size_bytes, :sha256,
            :width, :height, :pages, app_now() + make_interval(secs => :abandoned_seconds))
"""
_STORED = """
    UPDATE content SET state = 'stored', due_at = NULL
    WHERE id = :id AND owner_id = :owner_id AND state = 'writing'
"""
_DROP = "UPDATE content SET due_at = app_now() WHERE id = :id AND owner_id = :owner_id"
_DELETE = f"""
    UPDATE user_file SET deleted_at = app_now()
    WHERE user_file.id = :id AND {_MINE}
    RETURNING content_id
"""


@dataclass(frozen=True)
class Filter:
    """Which files a list shows; empty means any."""

    bucket: str
    state: str
    kind: str


@dataclass(frozen=True)
class Attempt:
    """One check of a file: a later one takes its place.

    Attributes:
        owner_id: Whose file it is.
        file_id: The file.
        id: The attempt, which every effect of it names.
    """

    owner_id: uuid.UUID
    file_id: uuid.UUID
    id: uuid.UUID

    def columns(self) -> dict[str, uuid.UUID]:
        """The parameters of a statement that only this attempt may carry out."""
        return {"owner_id": self.owner_id, "id": self.file_id, "attempt_id": self.id}


async def lock_owner(session: Session, owner_id: uuid.UUID) -> None:
    """Waits until nobody else changes what the owner keeps; holds until the transaction ends."""
    await session.first(_LOCK_OWNER, owner_id=str(owner_id))


async def one(session: ReadSession, owner_id: uuid.UUID, file_id: uuid.UUID) -> Row | None:
    """Reads a file of the owner's."""
    return await session.first(_ONE, id=file_id, owner_id=owner_id)


async def many(
    session: ReadSession, owner_id: uuid.UUID, file_ids: Sequence[uuid.UUID]
) -> Sequence[Row]:
    """Reads files of the owner's, in no order."""
    return await session.all(_MANY, ids=list(file_ids), owner_id=owner_id)


async def page(
    session: ReadSession, owner_id: uuid.UUID, request: PageRequest, wanted: Filter
) -> Page[Row]:
    """Reads a page of the owner's files, newest first."""
    rows = await session.all(
        _PAGE,
        owner_id=owner_id,
        before=request.before,
        fetch=request.fetch,
        bucket=wanted.bucket,
        state=wanted.state,
        kind=wanted.kind,
    )
    return request.page(rows, [row["id"] for row in rows])


async def insert(
    session: Session,
    owner_id: uuid.UUID,
    file_id: uuid.UUID,
    new: NewFile,
    confirm_seconds: float,
    form_seconds: float,
) -> None:
    """Writes a pending file, which holds room in quarantine for as long as its form may be used."""
    await session.execute(
        _INSERT,
        id=file_id,
        owner_id=owner_id,
        bucket=new.bucket,
        kind=new.kind,
        name=new.name,
        declared_type=new.content_type,
        declared_bytes=new.size_bytes,
        confirm_seconds=confirm_seconds,
        form_seconds=form_seconds,
    )


async def used(session: ReadSession, owner_id: uuid.UUID, besides: uuid.UUID) -> int:
    """Returns the bytes that an owner keeps or has reserved, without one file's reservation."""
    return int(await session.scalar(_USED, owner_id=owner_id, besides=besides))


async def lock(session: Session, owner_id: uuid.UUID, file_id: uuid.UUID) -> Row | None:
    """Locks a file of the owner's; None where there is none."""
    return await session.first(_LOCK, id=file_id, owner_id=owner_id)


async def begin(session: Session, attempt: Attempt, seconds: float) -> None:
    """Makes an attempt the one that counts."""
    await session.execute(_BEGIN, seconds=seconds, **attempt.columns())


async def renew(session: Session, attempt: Attempt, seconds: float) -> None:
    """Keeps others from beginning for some more seconds; nothing where one has begun."""
    await session.execute(_RENEW, seconds=seconds, **attempt.columns())


async def give_up(session: Session, attempt: Attempt) -> None:
    """Lets the next attempt begin at once."""
    await session.execute(_GIVE_UP, **attempt.columns())


async def refuse(session: Session, attempt: Attempt, code: str, message: str) -> bool:
    """Ends a file as refused; False where the attempt no longer counts."""
    changed = await session.execute(_REFUSE, code=code, message=message, **attempt.columns())
    return changed == 1


async def ready(session: Session, attempt: Attempt, content_id: uuid.UUID) -> bool:
    """Ends a file as ready; False where the attempt no longer counts."""
    return await session.execute(_READY, content_id=content_id, **attempt.columns()) == 1


async def same_bytes(session: Session, owner_id: uuid.UUID, sha256: str) -> uuid.UUID | None:
    """Returns the stored content of the owner's with these bytes."""
    found: uuid.UUID | None = await session.scalar(_SAME_BYTES, owner_id=owner_id, sha256=sha256)
    return found


async def use_again(session: Session, owner_id: uuid.UUID, content_id: uuid.UUID) -> None:
    """Takes a content off the sweeper's list."""
    await session.execute(_USE_AGAIN, id=content_id, owner_id=owner_id)


async def insert_content(session: Session, **content: Any) -> None:
    """Notes which objects are about to be written."""
    await session.execute(_INSERT_CONTENT, **content)


async def stored(session: Session, owner_id: uuid.UUID, content_id: uuid.UUID) -> bool:
    """Notes that the objects are there; False where the sweeper has taken them."""
    return await session.execute(_STORED, id=content_id, owner_id=owner_id) == 1


async def drop(session: Session, owner_id: uuid.UUID, content_id: uuid.UUID) -> None:
    """Puts a content on the sweeper's list."""
    await session.execute(_DROP, id=content_id, owner_id=owner_id)


async def delete(session: Session, owner_id: uuid.UUID, file_id: uuid.UUID) -> Row | None:
    """Deletes a file and returns its content; None where there is no such file."""
    return await session.first(_DELETE, id=file_id, owner_id=owner_id)
