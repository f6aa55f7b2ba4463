"""The one place where refusals become gRPC statuses, and statuses become refusals again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from kit.errors import DomainError, FieldViolation
from kit.rpc.contract import ERROR_DOMAIN, Failure, failure_of_status, failures

_DETAILS_KEY = "grpc-status-details-bin"


def encode(error: DomainError) -> status_pb2.Status:
    """Turns a refusal into google.rpc.Status with ErrorInfo, BadRequest and RetryInfo."""
    failure = failures()[error.reason]
    details = [
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata
        )
    ]
    if error.violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.message)
            for v in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=failure.status.value[0], message=str(error))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: DomainError) -> None:
    """Ends an RPC with a refusal."""
    status = encode(error)
    await context.abort(
        failures()[error.reason].status,
        status.message,
        ((_DETAILS_KEY, status.SerializeToString()),),
    )


@dataclass(frozen=True)
class Refusal:
    """What a failed call says, as its caller sees it.

    Attributes:
        failure: Reason, status, HTTP status and title.
        message: One sentence for a person.
        metadata: The changing parts.
        violations: The fields at fault.
        retry_after_seconds: When to try again, where that is known.
    """

    failure: Failure
    message: str
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()
    retry_after_seconds: float | None = None


def decode(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads a failed call; internal text of a status without a reason is not passed on."""
    trailers = dict(error.trailing_metadata() or ())
    raw = trailers.get(_DETAILS_KEY)
    if not isinstance(raw, bytes):
        failure = failure_of_status(error.code())
        return Refusal(failure, failure.title)
    status = status_pb2.Status.FromString(raw)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for target in (info, bad, retry):
            if detail.Is(target.DESCRIPTOR):
                detail.Unpack(target)
    delay = retry.retry_delay.ToNanoseconds() / 1e9
    return Refusal(
        failures().get(info.reason) or failure_of_status(error.code()),
        status.message,
        dict(info.metadata),
        tuple(FieldViolation(v.field, v.description) for v in bad.field_violations),
        delay or None,
    )
