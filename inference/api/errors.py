"""The engine's errors as refusals of the service."""

from __future__ import annotations

from inference.engine import errors as engine
from kit import metrics
from kit.errors import DomainError, FieldViolation, InvalidArgument


class UnknownModel(DomainError):
    """The model is not installed here."""

    reason = "UNKNOWN_MODEL"


class Overloaded(DomainError):
    """As many pictures wait as may wait."""

    reason = "OVERLOADED"


class Timeout(DomainError):
    """Sampling took longer than the request allows."""

    reason = "TIMEOUT"


class ContentFiltered(DomainError):
    """The safety check refused the picture."""

    reason = "CONTENT_FILTERED"


class CheckFailed(DomainError):
    """The safety check gave no verdict."""

    reason = "CHECK_FAILED"


class ModelFailed(DomainError):
    """The model failed, crashed or is not loaded yet."""

    reason = "MODEL_FAILED"


_KINDS: dict[type[engine.EngineError], type[DomainError]] = {
    engine.UnknownModel: UnknownModel,
    engine.InvalidRequest: InvalidArgument,
    engine.Overloaded: Overloaded,
    engine.SamplingTimeout: Timeout,
    engine.ContentFiltered: ContentFiltered,
    engine.CheckFailed: CheckFailed,
}


def refusal(error: engine.EngineError) -> DomainError:
    """Translates an error; what is not the caller's or the queue's fault is the model's."""
    kind = _KINDS.get(type(error), ModelFailed)
    metrics.INFERENCE_REFUSALS.labels(kind.reason).inc()
    violations = (FieldViolation(error.field, str(error)),) if error.field else ()
    return kind(str(error), violations=violations, retry_after_seconds=error.retry_after_seconds)
