"""SQL of API keys."""

from __future__ import annotations

import uuid

from kit.database import ReadSession, Row, Session
from kit.paging import Page, PageRequest
from services.accounts.keys.domain import NewKey

_STATE = """
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
         WHEN expires_at <= app_now() THEN 'expired' ELSE 'active' END AS state
"""
_COLUMNS = f"""
    id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at, {_STATE}
"""
# Whoever makes a key waits for the one before, so that no two see the same number of keys.
_LOCK_MEMBER = "SELECT id FROM users WHERE id = :id FOR UPDATE"
_WORKING = """
    SELECT count(*) FROM api_key WHERE user_id = :user_id AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > app_now())
"""
_INSERT = f"""
    INSERT INTO api_key (id, user_id, sha256, prefix, name, scopes, expires_at)
    VALUES (:id, :user_id, :sha256, :prefix, :name, :scopes, :expires_at)
    RETURNING {_COLUMNS}
"""
_PAGE = f"""
    SELECT {_COLUMNS} FROM api_key WHERE user_id = :user_id AND id < :before
    ORDER BY id DESC LIMIT :fetch
"""
_REVOKE = """
    UPDATE api_key SET revoked_at = coalesce(revoked_at, app_now())
    WHERE id = :id AND user_id = :user_id
"""
_BY_DIGEST = f"""
    SELECT api_key.id, api_key.sha256, api_key.user_id, api_key.scopes, {_STATE},
           users.suspended_at IS NOT NULL AS is_suspended
    FROM api_key JOIN users ON users.id = api_key.user_id WHERE api_key.sha256 = :sha256
"""
_TOUCH = """
    UPDATE api_key SET last_used_at = app_now()
    WHERE id = :id AND (last_used_at IS NULL
                        OR last_used_at < app_now() - make_interval(secs => :seconds))
"""


async def count_working(session: Session, user_id: uuid.UUID) -> int:
    """Counts a member's keys that work, and keeps others from making one until the end."""
    await session.first(_LOCK_MEMBER, id=user_id)
    return int(await session.scalar(_WORKING, user_id=user_id))


async def insert(
    session: Session, key_id: uuid.UUID, user_id: uuid.UUID, sha256: bytes, prefix: str, key: NewKey
) -> Row:
    """Writes a key."""
    return await session.one(
        _INSERT,
        id=key_id,
        user_id=user_id,
        sha256=sha256,
        prefix=prefix,
        name=key.name,
        scopes=list(key.scopes),
        expires_at=key.expires_at,
    )


async def page(session: ReadSession, user_id: uuid.UUID, request: PageRequest) -> Page[Row]:
    """Reads a page of a member's keys, newest first."""
    rows = await session.all(_PAGE, user_id=user_id, before=request.before, fetch=request.fetch)
    return request.page(rows, [row["id"] for row in rows])


async def revoke(session: Session, user_id: uuid.UUID, key_id: uuid.UUID) -> bool:
    """Revokes a key; the first time counts. False where it is not the member's."""
    return await session.execute(_REVOKE, id=key_id, user_id=user_id) == 1


async def by_digest(session: ReadSession, sha256: bytes) -> Row | None:
    """Reads a key by the hash of its secret, with what decides whether it may be used."""
    return await session.first(_BY_DIGEST, sha256=sha256)


async def touch(session: Session, key_id: uuid.UUID, seconds: float) -> None:
    """Notes that a key is used, unless that was noted within so many seconds."""
    await session.execute(_TOUCH, id=key_id, seconds=seconds)
