"""Why a row ends without a picture. Standard library only."""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """A row that ends without a picture.

    Attributes:
        reason: A stable name for programs.
        field: The field of the request at fault, or empty.
        retry_after_seconds: When trying again makes sense, where that is known.
    """

    reason: ClassVar[str]

    def __init__(
        self, message: str, *, field: str = "", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.field = field
        self.retry_after_seconds = retry_after_seconds


class UnknownModel(EngineError):
    """No such model is installed."""

    reason = "UNKNOWN_MODEL"


class InvalidRequest(EngineError):
    """A field of the request is not valid."""

    reason = "INVALID_ARGUMENT"


class Overloaded(EngineError):
    """As many rows wait as may wait."""

    reason = "OVERLOADED"


class SamplingTimeout(EngineError):
    """The row was sampled for longer than its request allows."""

    reason = "TIMEOUT"


class ModelFailed(EngineError):
    """The model raised, ran out of memory, or gave numbers that are no picture."""

    reason = "MODEL_FAILED"


class ContentFiltered(EngineError):
    """The safety check refused the picture."""

    reason = "CONTENT_FILTERED"


class CheckFailed(EngineError):
    """The safety check gave no answer, so that nobody may see the picture."""

    reason = "CHECK_FAILED"


class Canceled(EngineError):
    """Nobody waits for the picture any more."""

    reason = "CANCELED"


ERRORS: dict[str, type[EngineError]] = {
    kind.reason: kind
    for kind in (
        UnknownModel,
        InvalidRequest,
        Overloaded,
        SamplingTimeout,
        ModelFailed,
        ContentFiltered,
        CheckFailed,
        Canceled,
    )
}
