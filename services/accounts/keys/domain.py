"""Rules of API keys."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from kit.api_keys import AccountSuspended, ApiKeyExpired, ApiKeyRevoked
from kit.errors import DomainError, FieldViolation, InvalidArgument

NAME_LENGTH_MAX = 80
KEYS_MAX = 20
LIFETIME_MAX = dt.timedelta(days=366)
# What calls may ask of a key; a test holds this and the policies of the protos together.
SCOPES = (
    "credits:read",
    "files:read",
    "files:write",
    "jobs:read",
    "jobs:write",
    "me:read",
    "projects:read",
    "projects:write",
    "templates:read",
    "works:publish",
    "works:read",
    "works:write",
)


class TooManyApiKeys(DomainError):
    """The member has as many working keys as one may have."""

    reason = "TOO_MANY_API_KEYS"


class KeyState(enum.StrEnum):
    """Whether a key works; the words of the proto."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class NewKey:
    """A checked request for a key."""

    name: str
    scopes: tuple[str, ...]
    expires_at: dt.datetime | None


def check_new_key(
    name: str, scopes: Sequence[str], expires_at: dt.datetime | None, now: dt.datetime
) -> NewKey:
    """Checks a request for a key.

    Raises:
        InvalidArgument: With one violation per field.
    """
    is_name = len(name) <= NAME_LENGTH_MAX and name.strip()
    faults = {
        "name": "" if is_name else f"1 to {NAME_LENGTH_MAX} characters",
        "scopes": _scopes_fault(scopes),
        "expires_at": _expiry_fault(expires_at, now),
    }
    violations = tuple(FieldViolation(field, fault) for field, fault in faults.items() if fault)
    if violations:
        raise InvalidArgument("the key is not valid", violations=violations)
    return NewKey(name.strip(), tuple(sorted(scopes)), expires_at)


def _scopes_fault(scopes: Sequence[str]) -> str:
    if not scopes:
        return "name at least one: " + ", ".join(SCOPES)
    if set(scopes) - set(SCOPES):
        return "must be some of: " + ", ".join(SCOPES)
    return "" if len(set(scopes)) == len(scopes) else "name each once"


def _expiry_fault(expires_at: dt.datetime | None, now: dt.datetime) -> str:
    if expires_at is None or now < expires_at <= now + LIFETIME_MAX:
        return ""
    return f"must be in the future, and within {LIFETIME_MAX.days} days"


def check_room(working: int) -> None:
    """Checks that a member may have one more key.

    Raises:
        TooManyApiKeys: There are as many as there may be.
    """
    if working >= KEYS_MAX:
        raise TooManyApiKeys(f"you have {KEYS_MAX} keys that work; revoke one", limit=KEYS_MAX)


def check_usable(state: KeyState, *, is_suspended: bool) -> None:
    """Checks that a key that was found may be used.

    Raises:
        ApiKeyRevoked: It was revoked.
        ApiKeyExpired: Its time is over.
        AccountSuspended: Its member may do nothing at present.
    """
    if state is KeyState.REVOKED:
        raise ApiKeyRevoked("this API key is revoked")
    if state is KeyState.EXPIRED:
        raise ApiKeyExpired("this API key has expired")
    if is_suspended:
        raise AccountSuspended("this account is suspended")
