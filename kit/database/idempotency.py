"""Idempotency keys: the same key and request give the first answer, never a second effect.

A key belongs to a caller and a method. Only an acceptance is kept; a refusal frees the key, so that
the caller may mend the request and send it again.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from kit.database.session import ReadSession, Session
from kit.errors import IdempotencyKeyInUse, IdempotencyKeyReused, InvalidArgument

KEY_LENGTH_MAX = 255
KEPT_DAYS = 30

_BEGIN = """
    INSERT INTO idempotency (principal, method, key, fingerprint)
    VALUES (:principal, :method, :key, :fingerprint)
    ON CONFLICT DO NOTHING
"""
_SEEN = """
    SELECT fingerprint, response FROM idempotency
    WHERE principal = :principal AND method = :method AND key = :key
"""
_FINISH = """
    UPDATE idempotency SET response = :response
    WHERE principal = :principal AND method = :method AND key = :key
"""
_FREE = """
    DELETE FROM idempotency
    WHERE principal = :principal AND method = :method AND key = :key AND response IS NULL
"""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Key:
    """A caller's key for one method and one request.

    Attributes:
        principal: The caller.
        method: The RPC's name.
        key: As sent.
        fingerprint: SHA-256 of the request.
    """

    principal: uuid.UUID
    method: str
    key: str
    fingerprint: bytes

    @classmethod
    def of(cls, principal: uuid.UUID, method: str, key: str, request: Message) -> Key:
        """Builds a key for a request.

        Raises:
            InvalidArgument: The key is longer than 255 characters.
        """
        if not 1 <= len(key) <= KEY_LENGTH_MAX:
            raise InvalidArgument.of("Idempotency-Key", "must be 1 to 255 characters")
        content = request.SerializeToString(deterministic=True)
        return cls(principal, method, key, hashlib.sha256(content).digest())

    def columns(self) -> dict[str, object]:
        """The key's row, by column."""
        return {"principal": self.principal, "method": self.method, "key": self.key}


async def begin(session: Session, key: Key, response: type[M]) -> M | None:
    """Takes a key, or returns the answer that it was given before.

    Raises:
        IdempotencyKeyReused: The key was used for another request.
        IdempotencyKeyInUse: Its first request is still being answered.
    """
    if await session.execute(_BEGIN, fingerprint=key.fingerprint, **key.columns()):
        return None
    before = await replay(session, key, response)
    if before is None:  # freed by a refusal between the two statements
        raise IdempotencyKeyInUse("the first request is still running", retry_after_seconds=1)
    return before


async def replay(session: ReadSession, key: Key, response: type[M]) -> M | None:
    """Returns the answer that a key was given before; None for a fresh key.

    Raises:
        IdempotencyKeyReused: The key was used for another request.
        IdempotencyKeyInUse: Its first request is still being answered.
    """
    seen = await session.first(_SEEN, **key.columns())
    if seen is None:
        return None
    if bytes(seen["fingerprint"]) != key.fingerprint:
        raise IdempotencyKeyReused("this Idempotency-Key was used for another request")
    if seen["response"] is None:
        raise IdempotencyKeyInUse("the first request is still running", retry_after_seconds=1)
    return response.FromString(bytes(seen["response"]))


async def finish(session: Session, key: Key, response: Message) -> None:
    """Keeps the answer for repetitions."""
    await session.execute(_FINISH, response=response.SerializeToString(), **key.columns())


async def free(session: Session, key: Key) -> None:
    """Gives the key back after a refusal."""
    await session.execute(_FREE, **key.columns())
