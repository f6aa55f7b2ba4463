"""Use cases of sign-up, sign-in and sessions."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass

from atelier.accounts.v1 import events_pb2

from kit.database import ReadSession, Row, Session
from kit.errors import InvalidArgument, NotFound, Unauthenticated
from kit.ids import uuid7
from services.accounts.credits import service as credits_service
from services.accounts.credits.domain import Grant
from services.accounts.identity import store
from services.accounts.identity.domain import (
    LOCALES,
    LoginTaken,
    NewMember,
    RefreshReused,
    RefreshVerdict,
    judge_refresh,
)

REFRESH_TOKEN_BYTES = 32


@dataclass(frozen=True)
class SignedIn:
    """A user and the refresh token of a fresh session."""

    user: Row
    refresh_token: str


async def sign_up(
    session: Session, member: NewMember, kind: str, password_hash: str, welcome_credits: int
) -> SignedIn:
    """Makes a member with a wallet, its welcome grant and a first session.

    Raises:
        LoginTaken: The login id or e-mail is in use.
    """
    user_id = uuid7()
    if not await store.insert_member(session, user_id, member, kind, password_hash):
        raise LoginTaken("this login is taken; choose another or sign in")
    await _open_wallet(session, user_id, welcome_credits)
    event = events_pb2.MemberCreated(user_id=str(user_id), locale=member.locale)
    await session.publish(event)
    return await _open_session(session, user_id)


async def create_guest(session: Session, locale: str, guest_credits: int) -> SignedIn:
    """Makes a guest with credits for one job.

    Raises:
        InvalidArgument: The locale is neither ko nor en.
    """
    if locale and locale not in LOCALES:
        raise InvalidArgument.of("locale", "must be ko or en")
    user_id = uuid7()
    await store.insert_guest(session, user_id, locale or "ko")
    await _open_wallet(session, user_id, guest_credits)
    return await _open_session(session, user_id)


async def open_session(session: Session, user_id: uuid.UUID) -> SignedIn:
    """Opens a session for a user whose password was verified."""
    return await _open_session(session, user_id)


async def refresh(session: Session, token: str) -> SignedIn | None:
    """Trades a refresh token for a new session; None where its family had to be revoked.

    The caller raises :class:`RefreshReused` for None, after the commit that revokes.

    Raises:
        Unauthenticated: The token is unknown, expired or revoked.
    """
    found = await store.lock_token(session, _digest(token))
    if found is None:
        raise Unauthenticated("the session is unknown; sign in again")
    verdict = judge_refresh(
        found["created_at"], found["spent_at"], found["revoked_at"], await session.now()
    )
    if verdict is RefreshVerdict.REFUSE:
        raise Unauthenticated("the session has ended; sign in again")
    if verdict is RefreshVerdict.REVOKE_FAMILY:
        await store.revoke_family(session, found["family_id"])
        return None
    await store.spend_token(session, _digest(token))
    return await _open_session(session, found["user_id"], found["family_id"])


def reused() -> RefreshReused:
    """The refusal for a refresh token that was used twice."""
    return RefreshReused("this session was used twice and is revoked; sign in again")


async def log_out(session: Session, token: str) -> None:
    """Revokes the family of a refresh token; an unknown one is no error."""
    found = await store.lock_token(session, _digest(token))
    if found is not None:
        await store.revoke_family(session, found["family_id"])


async def me(session: ReadSession, user_id: uuid.UUID) -> Row:
    """Reads the caller's own account.

    Raises:
        NotFound: The account is gone.
    """
    found = await store.user(session, user_id)
    if found is None:
        raise NotFound("the account does not exist")
    return found


async def _open_wallet(session: Session, user_id: uuid.UUID, amount: int) -> None:
    await credits_service.open_wallet(session, user_id)
    if amount:
        grant = Grant(user_id, amount, "purchased", None, "welcome", f"welcome:{user_id}")
        await credits_service.grant(session, grant)


async def _open_session(
    session: Session, user_id: uuid.UUID, family_id: uuid.UUID | None = None
) -> SignedIn:
    token = secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
    await store.insert_token(session, _digest(token), family_id or uuid7(), user_id)
    return SignedIn(await me(session, user_id), token)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
