"""Use cases of projects."""

from __future__ import annotations

import uuid

from kit.database import ReadSession, Row, Session
from kit.errors import NotFound
from kit.ids import uuid7
from services.works.projects import store
from services.works.projects.domain import NewProject, first_project


async def create(session: Session, owner_id: uuid.UUID, project: NewProject) -> Row:
    """Makes a project."""
    row = await store.insert(session, uuid7(), owner_id, project)
    assert row is not None, "only a default project can exist already"
    return row


async def ensure_first(session: Session, owner_id: uuid.UUID, locale: str) -> Row:
    """Returns the owner's first project, making it unless it exists."""
    row = await store.insert(session, uuid7(), owner_id, first_project(locale))
    row = row or await store.default(session, owner_id)
    assert row is not None, "the insert conflicts only with an existing default project"
    return row


async def get(session: ReadSession, owner_id: uuid.UUID, project_id: uuid.UUID) -> Row:
    """Reads a project.

    Raises:
        NotFound: It is not the owner's.
    """
    row = await store.one(session, owner_id, project_id)
    if row is None:
        raise NotFound("there is no such project")
    return row


async def resolve(session: Session, user_id: uuid.UUID, project_id: uuid.UUID | None) -> Row:
    """Returns the named project, or the user's first.

    Raises:
        NotFound: The named one is not the user's.
    """
    if project_id is None:
        return await ensure_first(session, user_id, "ko")
    return await get(session, user_id, project_id)
