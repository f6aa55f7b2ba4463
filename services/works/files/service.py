"""Use cases of users' files."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from kit.database import ReadSession, Row, Session
from kit.errors import InvalidArgument, NotFound, Unavailable, WrongState
from kit.ids import uuid7
from services.works.files import domain, store
from services.works.files.domain import (
    BUSY_SECONDS,
    FileInCheck,
    FileRefused,
    NewFile,
    UploadExpired,
)
from services.works.files.store import Attempt

# How long a form may be used, and for how long what was begun to be sent by then may still come in.
FORM_SECONDS = 15 * 60.0
SENDING_SECONDS = 5 * 60.0
# How long a file may be confirmed.
CONFIRM_SECONDS = 3_600.0
# When the sweeper looks at what a dead attempt began to write: long after its call has ended.
ABANDONED_SECONDS = 3_600.0
# The age of an object in quarantine at which no file can need it: what its form sends comes within
# 20 minutes, and a file is confirmed within an hour.
STRAY_SECONDS = 2 * 3_600.0
QUARANTINE = "quarantine/"


@dataclass(frozen=True)
class Made:
    """What a check has let in, as it is to be stored.

    Attributes:
        content_type: Its MIME type.
        size_bytes: Its size.
        sha256: Of its bytes, in hex.
        width: In pixels, or 0.
        height: In pixels, or 0.
        pages: Of a document, or 0.
        has_thumbnail: Whether there is a thumbnail.
    """

    content_type: str
    size_bytes: int
    sha256: str
    width: int
    height: int
    pages: int
    has_thumbnail: bool


@dataclass(frozen=True)
class Content:
    """Where the bytes of an attempt go.

    Attributes:
        id: The content.
        object_key: Of the bytes.
        thumbnail_key: Of the thumbnail, or empty.
    """

    id: uuid.UUID
    object_key: str
    thumbnail_key: str


def quarantine_key(owner_id: uuid.UUID, file_id: uuid.UUID) -> str:
    """Where a file is sent to; nothing but its check reads it there."""
    return f"{QUARANTINE}{owner_id}/{file_id}"


async def create(session: Session, owner_id: uuid.UUID, new: NewFile, quota_bytes: int) -> Row:
    """Reserves room for a file.

    Raises:
        QuotaExceeded: It does not fit beside what the owner keeps and has reserved.
    """
    await store.lock_owner(session, owner_id)
    file_id = uuid7()
    domain.check_quota(quota_bytes, await store.used(session, owner_id, file_id), new.size_bytes)
    form_seconds = FORM_SECONDS + SENDING_SECONDS
    await store.insert(session, owner_id, file_id, new, CONFIRM_SECONDS, form_seconds)
    return await get(session, owner_id, file_id)


async def get(session: ReadSession, owner_id: uuid.UUID, file_id: uuid.UUID) -> Row:
    """Reads a file.

    Raises:
        NotFound: It is not the owner's.
    """
    row = await store.one(session, owner_id, file_id)
    if row is None:
        raise NotFound("there is no such file")
    return row


async def get_ready(session: ReadSession, owner_id: uuid.UUID, file_id: uuid.UUID) -> Row:
    """Reads a file that may be used.

    Raises:
        NotFound: It is not the owner's.
        WrongState: It is not ready.
    """
    row = await get(session, owner_id, file_id)
    if row["state"] != "ready":
        raise WrongState(f"the file is {row['state']}, not ready", state=row["state"])
    return row


async def resolve(
    session: ReadSession, owner_id: uuid.UUID, file_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Row]:
    """Reads files by id; those that are not the owner's are missing.

    Raises:
        InvalidArgument: There are too many.
    """
    if len(file_ids) > domain.RESOLVED_MAX:
        raise InvalidArgument.of("file_ids", f"at most {domain.RESOLVED_MAX}")
    return {row["id"]: row for row in await store.many(session, owner_id, file_ids)}


async def begin(session: Session, attempt: Attempt, seconds: float) -> Row | None:
    """Begins a check; None where the file is ready already.

    Args:
        session: The transaction.
        attempt: Who checks which file.
        seconds: How long it keeps others from beginning unless it is renewed. Should its process
            die, nobody waits for longer; whom another has overtaken changes nothing any more.

    Raises:
        NotFound: It is not the owner's.
        FileRefused: It was refused before.
        UploadExpired: It was not confirmed in time.
        FileInCheck: Another attempt is running.
    """
    row = await store.lock(session, attempt.owner_id, attempt.file_id)
    if row is None:
        raise NotFound("there is no such file")
    if row["state"] == "ready":
        return None
    if row["state"] == "refused":
        raise FileRefused(row["error_code"].upper(), row["error_message"])
    if row["state"] == "expired" or row["is_late"]:
        raise UploadExpired("the upload was not confirmed within an hour")
    if row["is_in_check"]:
        raise FileInCheck("the file is being checked", retry_after_seconds=BUSY_SECONDS)
    await store.begin(session, attempt, seconds)
    return row


async def refuse(session: Session, attempt: Attempt, refused: FileRefused) -> None:
    """Ends a file that is not let in.

    Raises:
        NotFound: It was deleted meanwhile.
        FileInCheck: A later attempt has taken its place.
    """
    if not await store.refuse(session, attempt, refused.reason.lower(), str(refused)):
        await _overtaken(session, attempt)


async def settle(
    session: Session, attempt: Attempt, made: Made, quota_bytes: int
) -> Content | None:
    """Ends a file whose bytes the owner has already, or says where they are to be written.

    Raises:
        QuotaExceeded: They do not fit beside what the owner keeps.
        NotFound: The file was deleted meanwhile.
        FileInCheck: A later attempt has taken its place.
    """
    owner_id = attempt.owner_id
    await store.lock_owner(session, owner_id)
    same = await store.same_bytes(session, owner_id, made.sha256)
    if same is not None:
        await _refer(session, attempt, same)
        return None
    used = await store.used(session, owner_id, attempt.file_id)
    domain.check_quota(quota_bytes, used, made.size_bytes)
    content_id = uuid7()
    key = f"files/{owner_id}/{content_id}"
    content = Content(content_id, key, f"{key}.jpg" if made.has_thumbnail else "")
    await store.insert_content(
        session,
        id=content_id,
        owner_id=owner_id,
        object_key=content.object_key,
        thumbnail_key=content.thumbnail_key or None,
        content_type=made.content_type,
        size_bytes=made.size_bytes,
        sha256=made.sha256,
        width=made.width,
        height=made.height,
        pages=made.pages,
        abandoned_seconds=ABANDONED_SECONDS,
    )
    return content


async def finish(session: Session, attempt: Attempt, content: Content, sha256: str) -> None:
    """Ends a file whose bytes were written.

    Raises:
        NotFound: The file was deleted meanwhile.
        FileInCheck: A later attempt has taken its place.
        Unavailable: The sweeper took what was written; it may be tried again.
    """
    await store.lock_owner(session, attempt.owner_id)
    same = await store.same_bytes(session, attempt.owner_id, sha256)
    if same is None and not await store.stored(session, attempt.owner_id, content.id):
        raise Unavailable("storing took too long", retry_after_seconds=BUSY_SECONDS)
    if same is not None:  # another file with the same bytes was quicker
        await store.drop(session, attempt.owner_id, content.id)
    await _refer(session, attempt, same or content.id)


async def forsake(session: Session, attempt: Attempt, content: Content) -> None:
    """Hands what was written for nothing to the sweeper at once; what is in use stays."""
    await store.drop(session, attempt.owner_id, content.id)


async def give_up(session: Session, attempt: Attempt) -> None:
    """Lets a file be confirmed again at once, after a failure that was not its own."""
    await store.give_up(session, attempt)


async def delete(session: Session, owner_id: uuid.UUID, file_id: uuid.UUID) -> None:
    """Deletes a file; its bytes are swept when no other file has them.

    It holds its room in quarantine until its form has expired: until then it can be sent again.

    Raises:
        NotFound: It is not the owner's.
    """
    await store.lock_owner(session, owner_id)
    row = await store.delete(session, owner_id, file_id)
    if row is None:
        raise NotFound("there is no such file")
    if row["content_id"] is not None:
        await store.drop(session, owner_id, row["content_id"])


async def _refer(session: Session, attempt: Attempt, content_id: uuid.UUID) -> None:
    if not await store.ready(session, attempt, content_id):
        await _overtaken(session, attempt)
    await store.use_again(session, attempt.owner_id, content_id)


async def _overtaken(session: Session, attempt: Attempt) -> None:
    await get(session, attempt.owner_id, attempt.file_id)
    raise FileInCheck("another check has taken over", retry_after_seconds=BUSY_SECONDS)
