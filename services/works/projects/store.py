"""SQL of projects."""

from __future__ import annotations

import uuid

from kit.database import ReadSession, Row, Session
from kit.paging import Page, PageRequest
from services.works.projects.domain import NewProject

_COLUMNS = "id, name, description, vertical, language, state, is_default, created_at"
_INSERT = f"""
    INSERT INTO project (id, owner_id, name, description, vertical, language, is_default)
    VALUES (:id, :owner_id, :name, :description, :vertical, :language, :is_default)
    ON CONFLICT (owner_id) WHERE is_default DO NOTHING
    RETURNING {_COLUMNS}
"""
_ONE = f"SELECT {_COLUMNS} FROM project WHERE id = :id AND owner_id = :owner_id"
_DEFAULT = f"SELECT {_COLUMNS} FROM project WHERE owner_id = :owner_id AND is_default"
_PAGE = f"""
    SELECT {_COLUMNS} FROM project WHERE owner_id = :owner_id AND id < :before
    ORDER BY id DESC LIMIT :fetch
"""


async def insert(
    session: Session, project_id: uuid.UUID, owner_id: uuid.UUID, project: NewProject
) -> Row | None:
    """Writes a project; None where it is a second default one."""
    return await session.first(
        _INSERT,
        id=project_id,
        owner_id=owner_id,
        name=project.name,
        description=project.description,
        vertical=project.vertical,
        language=project.language,
        is_default=project.is_default,
    )


async def one(session: ReadSession, owner_id: uuid.UUID, project_id: uuid.UUID) -> Row | None:
    """Reads a project of the owner's."""
    return await session.first(_ONE, id=project_id, owner_id=owner_id)


async def default(session: ReadSession, owner_id: uuid.UUID) -> Row | None:
    """Reads the owner's first project."""
    return await session.first(_DEFAULT, owner_id=owner_id)


async def page(session: ReadSession, owner_id: uuid.UUID, request: PageRequest) -> Page[Row]:
    """Reads a page of the owner's projects, newest first."""
    rows = await session.all(_PAGE, owner_id=owner_id, before=request.before, fetch=request.fetch)
    return request.page(rows, [row["id"] for row in rows])
