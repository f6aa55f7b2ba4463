"""Use cases of API keys."""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from kit import api_keys
from kit.database import Row, Session
from kit.errors import NotFound
from kit.ids import uuid7
from services.accounts.keys import store
from services.accounts.keys.domain import KeyState, check_new_key, check_room, check_usable

# So often at most a key's use is written down: its owner wants to know the day, not the second.
TOUCH_SECONDS = 600.0


@dataclass(frozen=True)
class Made:
    """A new key and its secret, which is nowhere else."""

    row: Row
    secret: str


async def create(
    session: Session,
    user_id: uuid.UUID,
    name: str,
    scopes: Sequence[str],
    expires_at: dt.datetime | None,
) -> Made:
    """Makes a key for a member. Whether a member may have keys at all is decided here alone.

    Raises:
        InvalidArgument: With one violation per field.
        TooManyApiKeys: The member has as many as one may have.
    """
    key = check_new_key(name, scopes, expires_at, await session.now())
    check_room(await store.count_working(session, user_id))
    secret = api_keys.encode(secrets.token_bytes(api_keys.RANDOM_BYTES))
    prefix = secret[: api_keys.PREFIX_LENGTH]
    row = await store.insert(session, uuid7(), user_id, api_keys.digest(secret), prefix, key)
    return Made(row, secret)


async def revoke(session: Session, user_id: uuid.UUID, key_id: uuid.UUID) -> None:
    """Ends a key; again changes nothing.

    Raises:
        NotFound: It is not the member's.
    """
    if not await store.revoke(session, user_id, key_id):
        raise NotFound("there is no such API key")


async def exchange(session: Session, secret: str) -> Row:
    """Finds a key that may be used, and notes its use.

    Raises:
        ApiKeyUnknown: It is none of ours.
        ApiKeyRevoked: It was revoked.
        ApiKeyExpired: Its time is over.
        AccountSuspended: Its member may do nothing at present.
    """
    sha256 = api_keys.digest(secret)
    found = await store.by_digest(session, sha256)
    if found is None or not hmac.compare_digest(bytes(found["sha256"]), sha256):
        raise api_keys.ApiKeyUnknown("there is no such API key")
    check_usable(KeyState(found["state"]), is_suspended=found["is_suspended"])
    await store.touch(session, found["id"], TOUCH_SECONDS)
    return found
