"""Problem documents (RFC 9457): one shape for every refusal, with a stable code."""

from __future__ import annotations

import math
from typing import Any

import orjson
from starlette.responses import Response

from kit import metrics
from kit.errors import DomainError
from kit.rpc.contract import failures
from kit.rpc.status import Refusal

MEDIA_TYPE = "application/problem+json"
# What is said where nobody knows better.
RETRY_SECONDS = 1
_TRY_AGAIN = (429, 503)


def document(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Builds the problem document of a refusal."""
    failure = refusal.failure
    body: dict[str, Any] = {
        "type": f"/docs/errors#{failure.code}",
        "title": failure.title,
        "status": failure.http_status,
        "code": failure.code,
        "detail": refusal.message,
        "request_id": request_id,
    }
    if refusal.violations:
        body["errors"] = [{"field": v.field, "message": v.message} for v in refusal.violations]
    if refusal.metadata:
        body["details"] = {key: _plain(value) for key, value in refusal.metadata.items()}
    return body


def _plain(value: str) -> int | str:
    return int(value) if value.removeprefix("-").isdecimal() else value


def response(refusal: Refusal, request_id: str, headers: dict[str, str] | None = None) -> Response:
    """Builds the HTTP response of a refusal, with Retry-After where it applies, and counts it."""
    metrics.HTTP_REFUSALS.labels(refusal.failure.code).inc()
    headers = {"cache-control": "no-store", **(headers or {})}
    wait = refusal.retry_after_seconds
    if wait is None and refusal.failure.http_status in _TRY_AGAIN:
        wait = RETRY_SECONDS
    if wait is not None:
        headers["retry-after"] = str(math.ceil(wait))
    if refusal.failure.http_status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(
        orjson.dumps(document(refusal, request_id)),
        refusal.failure.http_status,
        headers,
        media_type=MEDIA_TYPE,
    )


def of_error(error: DomainError) -> Refusal:
    """Turns a refusal of the gateway's own into what a service would have said."""
    return Refusal(
        failures()[error.reason],
        str(error),
        error.metadata,
        error.violations,
        error.retry_after_seconds,
    )


def of_reason(reason: str, message: str) -> Refusal:
    """Builds a refusal by its reason."""
    return Refusal(failures()[reason], message)
