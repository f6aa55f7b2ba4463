"""SQL of users and sessions."""

from __future__ import annotations

import uuid

from kit.database import ReadSession, Row, Session
from services.accounts.identity.domain import NewMember

USER_COLUMNS = "id, kind, login_id, email, name, locale, time_zone, created_at"

_INSERT_MEMBER = """
    INSERT INTO users (id, kind, login_id, email, password_hash, name, locale)
    VALUES (:id, :kind, :login_id, :email, :password_hash, :name, :locale)
    ON CONFLICT DO NOTHING
"""
_INSERT_GUEST = "INSERT INTO users (id, kind, name, locale) VALUES (:id, 'guest', '', :locale)"
_USER = f"SELECT {USER_COLUMNS} FROM users WHERE id = :id"
_BY_LOGIN = f"""
    SELECT {USER_COLUMNS}, password_hash FROM users
    WHERE lower(login_id) = lower(:login) OR lower(email) = lower(:login)
"""
_INSERT_TOKEN = """
    INSERT INTO refresh_token (sha256, family_id, user_id) VALUES (:sha256, :family_id, :user_id)
"""
_TOKEN = "SELECT * FROM refresh_token WHERE sha256 = :sha256 FOR UPDATE"
_SPEND_TOKEN = """
    UPDATE refresh_token SET spent_at = coalesce(spent_at, app_now()) WHERE sha256 = :sha256
"""
_REVOKE_FAMILY = """
    UPDATE refresh_token SET revoked_at = app_now()
    WHERE family_id = :family_id AND revoked_at IS NULL
"""
_FORGET_TOKENS = """
    DELETE FROM refresh_token WHERE sha256 IN (
        SELECT sha256 FROM refresh_token
        WHERE created_at < app_now() - make_interval(days => :days)
        ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)
"""


async def insert_member(
    session: Session, user_id: uuid.UUID, member: NewMember, kind: str, password_hash: str
) -> bool:
    """Writes a member; False where the login is taken."""
    changed = await session.execute(
        _INSERT_MEMBER,
        id=user_id,
        kind=kind,
        login_id=member.login_id,
        email=member.email,
        password_hash=password_hash,
        name=member.name,
        locale=member.locale,
    )
    return changed == 1


async def insert_guest(session: Session, user_id: uuid.UUID, locale: str) -> None:
    """Writes a guest."""
    await session.execute(_INSERT_GUEST, id=user_id, locale=locale)


async def user(session: ReadSession, user_id: uuid.UUID) -> Row | None:
    """Reads a user."""
    return await session.first(_USER, id=user_id)


async def by_login(session: ReadSession, login: str) -> Row | None:
    """Reads a user with the password hash, by login id or e-mail without case."""
    return await session.first(_BY_LOGIN, login=login)


async def insert_token(
    session: Session, sha256: bytes, family_id: uuid.UUID, user_id: uuid.UUID
) -> None:
    """Writes a refresh token."""
    await session.execute(_INSERT_TOKEN, sha256=sha256, family_id=family_id, user_id=user_id)


async def lock_token(session: Session, sha256: bytes) -> Row | None:
    """Reads a refresh token and locks it."""
    return await session.first(_TOKEN, sha256=sha256)


async def spend_token(session: Session, sha256: bytes) -> None:
    """Marks a refresh token as spent; the first time counts."""
    await session.execute(_SPEND_TOKEN, sha256=sha256)


async def revoke_family(session: Session, family_id: uuid.UUID) -> None:
    """Revokes every token of a family."""
    await session.execute(_REVOKE_FAMILY, family_id=family_id)


async def forget_tokens(session: Session, days: int, limit: int) -> int:
    """Deletes tokens that are older than so many days; returns how many."""
    return await session.execute(_FORGET_TOKENS, days=days, limit=limit)
