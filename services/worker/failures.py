"""Why an attempt gave nothing, and whether another one makes sense."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import grpc
import urllib3.exceptions
from atelier.jobs.v1 import queue_pb2 as pb
from minio.error import InvalidResponseError, S3Error, ServerError

from kit.errors import DomainError
from kit.rpc.contract import failures
from kit.rpc.status import decode
from workflow.graph import InvalidGraph

log = logging.getLogger(__name__)

INFRA = pb.FAILURE_CLASS_INFRA
TRANSIENT = pb.FAILURE_CLASS_TRANSIENT
USER = pb.FAILURE_CLASS_USER

MESSAGE_LENGTH_MAX = 500

# By error reason; whatever is not here is transient.
_CLASSES = {
    "OVERLOADED": INFRA,
    "MODEL_FAILED": INFRA,
    "UNAVAILABLE": INFRA,
    "CANCELED": INFRA,  # inference ended our call because it stops
    "INVALID_ARGUMENT": USER,
    "INVALID_GRAPH": USER,
    "UNKNOWN_MODEL": USER,
    "CONTENT_FILTERED": USER,
    # The endpoint was tried three times within the step: its hold is to be released now.
    "WRITER_FAILED": USER,
}
# Objects that are gone stay gone: counted, unlike a storage that is away.
_GONE = ("NoSuchKey", "NoSuchBucket")


class ContentFiltered(DomainError):
    """A safety check refused the content."""

    reason = "CONTENT_FILTERED"


class StepTimeout(DomainError):
    """A step ran longer than its limit."""

    reason = "TIMEOUT"


class BadGraph(DomainError):
    """The graph cannot be run here."""

    reason = "INVALID_GRAPH"


@dataclass(frozen=True)
class Failed:
    """How an attempt failed.

    Attributes:
        failure_class: A FailureClass of the proto.
        code: An error reason in lower case.
        message: For a person; without internals.
    """

    failure_class: pb.FailureClass.ValueType
    code: str
    message: str

    def as_proto(self) -> pb.AttemptFailure:
        """Returns it as the queue takes it."""
        return pb.AttemptFailure(
            failure_class=self.failure_class, code=self.code, message=self.message
        )


def classify(error: BaseException) -> Failed:
    """Says of any error how the queue is to treat it; an unexpected one is logged."""
    if isinstance(error, InvalidGraph):
        return _of("INVALID_GRAPH", str(error))
    if isinstance(error, DomainError):
        return _of(error.reason, str(error))
    if isinstance(error, grpc.aio.AioRpcError):
        refusal = decode(error)
        return _of(refusal.failure.reason, refusal.message)
    if _is_storage(error):
        log.warning("storage failed", extra={"error": repr(error)})
        return _of("UNAVAILABLE", "The storage cannot be reached at present.")
    log.error("unexpected failure of a step", exc_info=error)
    return _of("INTERNAL", failures()["INTERNAL"].title)


def _of(reason: str, message: str) -> Failed:
    failure_class = _CLASSES.get(reason, TRANSIENT)
    return Failed(failure_class, reason.lower(), message[:MESSAGE_LENGTH_MAX])


def _is_storage(error: BaseException) -> bool:
    if isinstance(error, S3Error):
        return error.code not in _GONE
    return isinstance(
        error,
        urllib3.exceptions.HTTPError | InvalidResponseError | ServerError | ConnectionError,
    )
