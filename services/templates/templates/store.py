"""SQL of templates and their versions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from kit.database import ReadSession, Row, Session
from kit.paging import Page
from services.templates.templates.paging import Place, ShelfRequest

_SHOWN = "is_active AND (owner_id IS NULL OR owner_id = CAST(:user_id AS uuid))"
_PAGE = f"""
    SELECT id, version, position FROM template
    WHERE {_SHOWN} AND (position, id) > (CAST(:position AS integer), CAST(:id AS text))
      AND (CAST(:category AS text) = '' OR category = :category)
    ORDER BY position, id LIMIT :fetch
"""
_ONE = f"SELECT id, version, category FROM template WHERE id = :id AND {_SHOWN}"
_IDS = f"SELECT id FROM template WHERE {_SHOWN} ORDER BY position, id LIMIT :limit"
_VERSIONS = """
    SELECT definition::text, request_schema::text FROM template_version
    JOIN unnest(CAST(:ids AS text[]), CAST(:versions AS integer[])) AS wanted (id, number)
      ON template_id = wanted.id AND version = wanted.number
"""
_NEWEST = "SELECT version FROM template WHERE id = :id"
_HASH = "SELECT content_hash FROM template_version WHERE template_id = :id AND version = :version"
_INSERT_VERSION = """
    INSERT INTO template_version (template_id, version, definition, request_schema, content_hash)
    VALUES (:id, :version, CAST(:definition AS jsonb), CAST(:request_schema AS jsonb), :hash)
"""
_PUT = """
    INSERT INTO template (id, category, position, is_active, version)
    VALUES (:id, :category, :position, :is_active, :version)
    ON CONFLICT (id) DO UPDATE SET
        category = excluded.category, position = excluded.position,
        is_active = excluded.is_active, version = excluded.version, updated_at = app_now()
    WHERE template.owner_id IS NULL AND template.version <= excluded.version
"""


async def page(
    session: ReadSession, user_id: uuid.UUID | None, category: str, request: ShelfRequest
) -> Page[Row]:
    """Reads a page of the templates that a user is shown; an empty category means any."""
    rows = await session.all(
        _PAGE,
        user_id=user_id,
        category=category,
        position=request.after.position,
        id=request.after.id,
        fetch=request.fetch,
    )
    return request.page(rows, [Place(row["position"], row["id"]) for row in rows])


async def one(session: ReadSession, user_id: uuid.UUID | None, template_id: str) -> Row | None:
    """Reads which version of a template a user is shown."""
    return await session.first(_ONE, id=template_id, user_id=user_id)


async def ids(session: ReadSession, user_id: uuid.UUID | None, limit: int) -> list[str]:
    """Reads the names of the templates that a user is shown."""
    return [row["id"] for row in await session.all(_IDS, user_id=user_id, limit=limit)]


async def versions(session: ReadSession, wanted: Sequence[tuple[str, int]]) -> Sequence[Row]:
    """Reads versions by id and number."""
    ids_, numbers = [key[0] for key in wanted], [key[1] for key in wanted]
    return await session.all(_VERSIONS, ids=ids_, versions=numbers)


async def newest(session: ReadSession, template_id: str) -> int:
    """Returns the newest version of a template; 0 where there is none."""
    return await session.scalar(_NEWEST, id=template_id) or 0


async def content_hash(session: ReadSession, template_id: str, version: int) -> str | None:
    """Returns the hash of a kept version; None where it is not kept."""
    found: str | None = await session.scalar(_HASH, id=template_id, version=version)
    return found


async def insert_version(
    session: Session,
    template_id: str,
    version: int,
    *,
    definition: str,
    request_schema: str,
    content_hash: str,
) -> None:
    """Writes a version; both documents are JSON."""
    await session.execute(
        _INSERT_VERSION,
        id=template_id,
        version=version,
        definition=definition,
        request_schema=request_schema,
        hash=content_hash,
    )


async def put(
    session: Session,
    template_id: str,
    version: int,
    *,
    category: str,
    position: int,
    is_active: bool,
) -> None:
    """Puts a template of the system on the shelf; an older version moves nothing."""
    await session.execute(
        _PUT,
        id=template_id,
        version=version,
        category=category,
        position=position,
        is_active=is_active,
    )
