"""Refusals that a caller can act on. Standard library only: domain code raises these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request and what is wrong with it.

    Attributes:
        field: Path in the request, for example ``inputs.aspect``.
        message: What is wrong and what would be right, in English.
    """

    field: str
    message: str


class DomainError(Exception):
    """A refusal with a stable reason.

    Attributes:
        reason: A name of ``atelier.errors.v1.Reason`` without its prefix; the proto says which
            gRPC code and HTTP status it has.
        metadata: Every changing part of the message, for programs.
        violations: The fields at fault, if any.
        retry_after_seconds: When trying again makes sense, where that is known.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        violations: tuple[FieldViolation, ...] = (),
        retry_after_seconds: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.violations = violations
        self.retry_after_seconds = retry_after_seconds


class InvalidArgument(DomainError):
    """One or more fields are not valid."""

    reason = "INVALID_ARGUMENT"

    @classmethod
    def of(cls, field: str, message: str) -> InvalidArgument:
        """Builds the error for a single field."""
        return cls(f"{field}: {message}", violations=(FieldViolation(field, message),))


class NotFound(DomainError):
    """No such thing, or not the caller's: the two are not told apart."""

    reason = "NOT_FOUND"


class Unauthenticated(DomainError):
    """No valid token."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(DomainError):
    """The caller may not do this."""

    reason = "PERMISSION_DENIED"


class ScopeMissing(DomainError):
    """The API key lacks the scope of this call."""

    reason = "SCOPE_MISSING"


class NotForApiKeys(DomainError):
    """The call is not for API keys."""

    reason = "NOT_FOR_API_KEYS"


class WrongState(DomainError):
    """The thing is in a state that does not allow this."""

    reason = "WRONG_STATE"


class Unavailable(DomainError):
    """A part of the system cannot be reached."""

    reason = "UNAVAILABLE"


class IdempotencyKeyRequired(DomainError):
    """The method moves money and no key was given."""

    reason = "IDEMPOTENCY_KEY_REQUIRED"


class IdempotencyKeyInUse(DomainError):
    """The first request with this key is still being answered."""

    reason = "IDEMPOTENCY_KEY_IN_USE"


class IdempotencyKeyReused(DomainError):
    """The key was used for another request."""

    reason = "IDEMPOTENCY_KEY_REUSED"
