"""SQL of works and files."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kit.database import ReadSession, Row, Session
from kit.ids import uuid7
from kit.narrowing import Narrowing
from kit.paging import Page, PageRequest
from services.works.works import domain

_COLUMNS = """
    work.id, type, state, title, tags, project_id, batch_id, job_id, template_id, category,
    variation, is_public, recipe::text AS recipe_json, error_code, work.created_at, finished_at,
    file.object_key, file.content_type, file.size_bytes, file.width, file.height, file.sha256,
    thumbnail.object_key AS thumbnail_key
"""
_FROM = """
    FROM work
    LEFT JOIN file ON file.id = work.file_id
    LEFT JOIN file AS thumbnail ON thumbnail.id = work.thumbnail_id
"""
_MINE = "work.owner_id = :owner_id AND work.deleted_at IS NULL"
_ONE = f"SELECT {_COLUMNS} {_FROM} WHERE work.id = :id AND {_MINE}"
_LOCK = """
    SELECT state FROM work WHERE id = :id AND owner_id = :owner_id AND deleted_at IS NULL
    FOR UPDATE
"""
_BATCH = f"SELECT {_COLUMNS} {_FROM} WHERE batch_id = :batch_id AND {_MINE} ORDER BY work.id"
_PAGE = f"""
    SELECT {_COLUMNS} {_FROM}
    WHERE {_MINE} AND work.id < :before AND work.id >= :since
    ORDER BY work.id DESC LIMIT :fetch
"""
_NARROWING = Narrowing(
    "work.id",
    ("batch_id", "template_id", "project_id", "category", "state", "type"),
    {
        "tag": ":tag = ANY(tags)",
        "created_from": "work.created_at >= :created_from",
        "created_to": "work.created_at < :created_to",
    },
)
_INSERT = """
    INSERT INTO work (id, owner_id, project_id, batch_id, job_id, type, state, title, tags,
                      template_id, category, variation, inputs)
    VALUES (:id, :owner_id, :project_id, :batch_id, :job_id, :type, 'pending', :title, :tags,
            :template_id, :category, :variation, CAST(:inputs AS jsonb))
    ON CONFLICT (id) DO NOTHING
"""
_UPDATE = """
    UPDATE work SET title = coalesce(:title, title), tags = coalesce(:tags, tags)
    WHERE id = :id AND owner_id = :owner_id AND deleted_at IS NULL
"""
_SET_PUBLIC = """
    UPDATE work SET is_public = :is_public
    WHERE id = :id AND owner_id = :owner_id AND deleted_at IS NULL
"""
_DELETE = """
    UPDATE work SET deleted_at = app_now(), is_public = false
    WHERE id = :id AND owner_id = :owner_id AND deleted_at IS NULL
"""
_DELETE_FILES = """
    UPDATE file SET deleted_at = app_now()
    WHERE deleted_at IS NULL AND id IN (
        SELECT unnest(ARRAY[file_id, thumbnail_id]) FROM work WHERE id = :id)
"""
_UNSWEPT = """
    SELECT id, object_key FROM file WHERE deleted_at IS NOT NULL AND swept_at IS NULL
    ORDER BY deleted_at LIMIT :limit FOR UPDATE SKIP LOCKED
"""
_SWEPT = "UPDATE file SET swept_at = app_now() WHERE id = ANY(:ids)"
_ADVANCE = """
    UPDATE work SET state = :state, recipe = coalesce(CAST(:recipe AS jsonb), recipe),
        file_id = :file_id, thumbnail_id = :thumbnail_id, error_code = :error_code,
        finished_at = CASE WHEN :final THEN app_now() END
    WHERE id = :id AND state = ANY(:before)
"""
_LOCK_ANY = "SELECT owner_id, state FROM work WHERE id = :id FOR UPDATE"
_INSERT_FILE = """
    INSERT INTO file (id, owner_id, object_key, content_type, size_bytes, sha256, width, height)
    VALUES (:id, :owner_id, :object_key, :content_type, :size_bytes, :sha256, :width, :height)
"""


@dataclass(frozen=True)
class Filter:
    """Which works a history shows; empty means any.

    Attributes:
        project_id: Of this project.
        batch_id: Of this batch.
        type: Of this type.
        state: In this state.
        tag: With this tag.
        category: Of this category.
        template_id: By this template.
        created_from: Submitted then or later.
        created_to: Submitted before.
    """

    project_id: uuid.UUID | None = None
    batch_id: uuid.UUID | None = None
    type: str = ""
    state: str = ""
    tag: str = ""
    category: str = ""
    template_id: str = ""
    created_from: dt.datetime | None = None
    created_to: dt.datetime | None = None


async def one(session: ReadSession, owner_id: uuid.UUID, work_id: uuid.UUID) -> Row | None:
    """Reads a work of the owner's with its file."""
    return await session.first(_ONE, id=work_id, owner_id=owner_id)


async def lock(session: Session, owner_id: uuid.UUID, work_id: uuid.UUID) -> str | None:
    """Locks a work of the owner's and returns its state; None where there is none."""
    state: str | None = await session.scalar(_LOCK, id=work_id, owner_id=owner_id)
    return state


async def batch(session: ReadSession, owner_id: uuid.UUID, batch_id: uuid.UUID) -> Sequence[Row]:
    """Reads the works of a batch of the owner's, in order."""
    return await session.all(_BATCH, batch_id=batch_id, owner_id=owner_id)


async def page(
    session: ReadSession, owner_id: uuid.UUID, request: PageRequest, wanted: Filter
) -> Page[Row]:
    """Reads a page of the owner's history, newest first."""
    rows = await _NARROWING.page(session, _PAGE, request, asdict(wanted), owner_id=owner_id)
    return request.page(rows, [row["id"] for row in rows])


async def insert(session: Session, works: Sequence[Mapping[str, Any]]) -> None:
    """Writes works in state pending; those that exist stay."""
    await session.execute_many(_INSERT, works)


async def update(
    session: Session,
    owner_id: uuid.UUID,
    work_id: uuid.UUID,
    title: str | None,
    tags: list[str] | None,
) -> None:
    """Changes title and tags; None leaves one as it is."""
    await session.execute(_UPDATE, id=work_id, owner_id=owner_id, title=title, tags=tags)


async def set_public(
    session: Session, owner_id: uuid.UUID, work_id: uuid.UUID, *, is_public: bool
) -> None:
    """Shows or hides a work in the gallery."""
    await session.execute(_SET_PUBLIC, id=work_id, owner_id=owner_id, is_public=is_public)


async def delete(session: Session, owner_id: uuid.UUID, work_id: uuid.UUID) -> None:
    """Deletes a work; its files are swept later."""
    await session.execute(_DELETE, id=work_id, owner_id=owner_id)
    await session.execute(_DELETE_FILES, id=work_id)


async def unswept(session: Session, limit: int) -> Sequence[Row]:
    """Locks deleted files whose objects still exist."""
    return await session.all(_UNSWEPT, limit=limit)


async def mark_swept(session: Session, ids: Sequence[uuid.UUID]) -> None:
    """Notes that objects are gone."""
    await session.execute(_SWEPT, ids=list(ids))


async def advance(
    session: Session,
    work_id: uuid.UUID,
    state: str,
    *,
    recipe: str | None = None,
    file_id: uuid.UUID | None = None,
    thumbnail_id: uuid.UUID | None = None,
    error_code: str = "",
) -> bool:
    """Moves a work to a state that may follow its own; False where it may not."""
    changed = await session.execute(
        _ADVANCE,
        id=work_id,
        state=state,
        before=domain.before(state),
        final=state in domain.FINAL,
        recipe=recipe,
        file_id=file_id,
        thumbnail_id=thumbnail_id,
        error_code=error_code,
    )
    return changed == 1


async def lock_any(session: Session, work_id: uuid.UUID) -> Row | None:
    """Locks a work, whoever's it is, and returns its owner and state; None where there is none."""
    return await session.first(_LOCK_ANY, id=work_id)


async def insert_file(session: Session, owner_id: uuid.UUID, file: Mapping[str, Any]) -> uuid.UUID:
    """Writes a file and returns its id."""
    file_id = uuid7()
    await session.execute(_INSERT_FILE, id=file_id, owner_id=owner_id, **file)
    return file_id
