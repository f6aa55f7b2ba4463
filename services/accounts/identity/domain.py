"""Rules of sign-up and of refresh tokens."""

from __future__ import annotations

import datetime as dt
import enum
import re
from dataclasses import dataclass

from kit.errors import DomainError, FieldViolation, InvalidArgument

LOGIN_ID = re.compile(r"^[A-Za-z0-9._-]{4,50}$")
EMAIL = re.compile(r"^[^@\s]{1,64}@[^@\s]{1,189}\.[^@\s.]{2,}$")
PASSWORD_LENGTH_MIN = 8
PASSWORD_LENGTH_MAX = 128
NAME_LENGTH_MAX = 80
LOCALES = ("ko", "en")
REFRESH_LIFETIME = dt.timedelta(days=7)
# Two tabs that refresh at once are no theft.
REUSE_GRACE = dt.timedelta(seconds=10)


class LoginTaken(DomainError):
    """The login id or e-mail is in use."""

    reason = "LOGIN_TAKEN"


class BadCredentials(DomainError):
    """Login or password is wrong; which one is not said."""

    reason = "BAD_CREDENTIALS"


class RefreshReused(DomainError):
    """A refresh token was used twice."""

    reason = "REFRESH_REUSED"


@dataclass(frozen=True)
class NewMember:
    """A checked sign-up."""

    login_id: str | None
    email: str | None
    password: str
    name: str
    locale: str


def check_sign_up(login_id: str, email: str, password: str, name: str, locale: str) -> NewMember:
    """Checks a sign-up and fills its defaults.

    Raises:
        InvalidArgument: With one violation per field.
    """
    locale = locale or "ko"
    faults = {
        "login_id": "give a login_id or an email" if not (login_id or email) else "",
        "password": _password_fault(password),
        "name": "" if len(name) <= NAME_LENGTH_MAX else f"at most {NAME_LENGTH_MAX} characters",
        "locale": "" if locale in LOCALES else "must be ko or en",
    }
    if login_id and not LOGIN_ID.match(login_id):
        faults["login_id"] = "must be 4 to 50 letters, digits, dots, dashes or underscores"
    if email and not EMAIL.match(email):
        faults["email"] = "must be an e-mail address"
    violations = tuple(FieldViolation(field, fault) for field, fault in faults.items() if fault)
    if violations:
        raise InvalidArgument("the sign-up is not valid", violations=violations)
    name = name.strip() or login_id or email.partition("@")[0]
    return NewMember(login_id or None, email or None, password, name, locale)


def _password_fault(password: str) -> str:
    if PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        return ""
    return f"must be {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"


class RefreshVerdict(enum.Enum):
    """What to do about a refresh token that is presented."""

    ROTATE = "rotate"
    REFUSE = "refuse"
    REVOKE_FAMILY = "revoke family"


def judge_refresh(
    created_at: dt.datetime,
    spent_at: dt.datetime | None,
    revoked_at: dt.datetime | None,
    now: dt.datetime,
) -> RefreshVerdict:
    """Decides about a known refresh token; reuse of a spent one revokes its family."""
    if revoked_at is not None or now >= created_at + REFRESH_LIFETIME:
        return RefreshVerdict.REFUSE
    if spent_at is not None and now > spent_at + REUSE_GRACE:
        return RefreshVerdict.REVOKE_FAMILY
    return RefreshVerdict.ROTATE
