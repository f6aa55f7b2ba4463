"""Use cases of works."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.crash import crash_point
from kit.database import ReadSession, Row, Session
from kit.errors import NotFound
from services.works.works import domain, store


@dataclass(frozen=True)
class NewBatch:
    """The works of an accepted job."""

    job_id: uuid.UUID
    batch_id: uuid.UUID
    project_id: uuid.UUID
    owner_id: uuid.UUID
    category: str
    template_id: str
    inputs_json: str
    text: str
    works: Sequence[tuple[uuid.UUID, str, int]]


async def create(session: Session, batch: NewBatch) -> None:
    """Makes the works of a job, in state pending; again changes nothing."""
    shared = {
        "owner_id": batch.owner_id,
        "project_id": batch.project_id,
        "batch_id": batch.batch_id,
        "job_id": batch.job_id,
        "title": domain.first_title(batch.text),
        "tags": domain.first_tags(batch.text),
        "template_id": batch.template_id,
        "category": batch.category,
        "inputs": batch.inputs_json,
    }
    rows = [
        {"id": work_id, "type": work_type, "variation": variation, **shared}
        for work_id, work_type, variation in batch.works
    ]
    await store.insert(session, rows)
    crash_point("works.before_commit")


async def get(session: ReadSession, owner_id: uuid.UUID, work_id: uuid.UUID) -> Row:
    """Reads a work.

    Raises:
        NotFound: It is not the owner's.
    """
    row = await store.one(session, owner_id, work_id)
    if row is None:
        raise NotFound("there is no such work")
    return row


async def get_completed(session: ReadSession, owner_id: uuid.UUID, work_id: uuid.UUID) -> Row:
    """Reads a work that has its file.

    Raises:
        NotFound: It is not the owner's.
        WrongState: It is not completed.
    """
    row = await get(session, owner_id, work_id)
    domain.check_completed(row["state"])
    return row


async def get_batch(
    session: ReadSession, owner_id: uuid.UUID, batch_id: uuid.UUID
) -> Sequence[Row]:
    """Reads the works of a batch.

    Raises:
        NotFound: It is not the owner's, or all of it is deleted.
    """
    rows = await store.batch(session, owner_id, batch_id)
    if not rows:
        raise NotFound("there is no such batch")
    return rows


async def update(
    session: Session,
    owner_id: uuid.UUID,
    work_id: uuid.UUID,
    title: str | None,
    tags: Sequence[str] | None,
) -> Row:
    """Changes title and tags; None leaves one as it is.

    Raises:
        InvalidArgument: One of them is out of its limits.
        NotFound: The work is not the owner's.
    """
    checked_title = None if title is None else domain.check_title(title)
    checked_tags = None if tags is None else domain.check_tags(tags)
    await store.update(session, owner_id, work_id, checked_title, checked_tags)
    return await get(session, owner_id, work_id)


async def publish(
    session: Session, owner_id: uuid.UUID, work_id: uuid.UUID, *, is_public: bool
) -> Row:
    """Shows a work in the gallery or takes it out.

    Raises:
        NotFound: The work is not the owner's.
        WrongState: It is to be shown and is not completed.
    """
    state = await _lock(session, owner_id, work_id)
    if is_public:
        domain.check_completed(state)
    await store.set_public(session, owner_id, work_id, is_public=is_public)
    return await get(session, owner_id, work_id)


async def delete(session: Session, owner_id: uuid.UUID, work_id: uuid.UUID) -> None:
    """Deletes a work with its files.

    Raises:
        NotFound: The work is not the owner's.
        WrongState: It is still being made.
    """
    domain.check_deletable(await _lock(session, owner_id, work_id))
    await store.delete(session, owner_id, work_id)


async def start(session: Session, work_id: uuid.UUID) -> None:
    """Notes that a worker began; nothing where the work is past that."""
    await store.advance(session, work_id, "processing")


async def complete(
    session: Session,
    work_id: uuid.UUID,
    file: Mapping[str, Any],
    thumbnail: Mapping[str, Any] | None,
    recipe: str,
) -> None:
    """Fills a work with what was made.

    Raises:
        NotFound: There is no such work yet; the event comes again.
    """
    work = await store.lock_any(session, work_id)
    if work is None:
        raise NotFound("there is no such work", work_id=work_id)
    if work["state"] in domain.FINAL:  # the same end was told twice
        return
    owner_id = work["owner_id"]
    file_id = await store.insert_file(session, owner_id, file)
    thumbnail_id = await store.insert_file(session, owner_id, thumbnail) if thumbnail else None
    await store.advance(
        session,
        work_id,
        "completed",
        recipe=recipe or "{}",
        file_id=file_id,
        thumbnail_id=thumbnail_id,
    )


async def end(session: Session, work_id: uuid.UUID, state: str, error_code: str) -> None:
    """Notes that a work was not made."""
    await store.advance(session, work_id, state, error_code=error_code)


async def _lock(session: Session, owner_id: uuid.UUID, work_id: uuid.UUID) -> str:
    state = await store.lock(session, owner_id, work_id)
    if state is None:
        raise NotFound("there is no such work")
    return state
