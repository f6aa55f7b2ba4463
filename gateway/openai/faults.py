"""Refusals in the shape that OpenAI's clients read: ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

import math
from typing import Any

import orjson
from starlette.responses import Response

from gateway.problems import RETRY_SECONDS
from kit import metrics
from kit.rpc.contract import failures
from kit.rpc.status import Refusal

_REQUEST = "invalid_request_error"
_SERVER = "server_error"
# What clients know under another name; a client gives up on a quota and tries a rate again.
_CODES = {
    "INSUFFICIENT_CREDITS": (429, "insufficient_quota", "insufficient_quota"),
    "RATE_LIMITED": (429, "requests", "rate_limit_exceeded"),
    "OVERLOADED": (429, "requests", "rate_limit_exceeded"),
    "TOO_MANY_STREAMS": (429, "requests", "rate_limit_exceeded"),
    "CONTENT_FILTERED": (400, _REQUEST, "content_policy_violation"),
    "UNAUTHENTICATED": (401, _REQUEST, "invalid_api_key"),
    "UNKNOWN_TEMPLATE": (404, _REQUEST, "model_not_found"),
}
# The client's parameter by our field.
_PARAMS = {"text": "prompt", "variations": "n", "template_id": "model", "outputs[0]": "model"}
_NOT_TRIED_AGAIN = ("insufficient_quota",)


class Fault(Exception):
    """A refusal or failure as the client sees it.

    Attributes:
        status: The HTTP status.
        kind: OpenAI's ``type``.
        code: Stable, or None.
        param: The parameter at fault, or None.
        retry_after_seconds: When trying again makes sense, where that is known.
        counted_as: What metrics call it: our own code where there is one.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = _REQUEST,
        code: str | None = None,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        counted_as: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.counted_as = counted_as or code or kind

    def document(self) -> dict[str, Any]:
        """Returns the body."""
        return {
            "error": {
                "message": str(self),
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """Builds the answer, and counts it."""
        metrics.HTTP_REFUSALS.labels(self.counted_as).inc()
        headers = {"cache-control": "no-store"}
        wait = self.retry_after_seconds
        if wait is None and self.status in (429, 503, 504):
            wait = RETRY_SECONDS
        if self.code in _NOT_TRIED_AGAIN:
            headers["x-should-retry"] = "false"  # which openai's clients heed
        elif wait is not None:
            headers["retry-after"] = str(math.ceil(wait))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        body = orjson.dumps(self.document())
        return Response(body, self.status, headers, media_type="application/json")


def of_refusal(refusal: Refusal) -> Fault:
    """Translates what a service says."""
    failure = refusal.failure
    usual = _usual(failure.http_status, failure.code)
    status, kind, code = _CODES.get(failure.reason, usual)
    message, param = refusal.message, None
    if refusal.violations:
        first = refusal.violations[0]
        name = first.field.removeprefix("submission.").removeprefix("inputs.")
        param = _PARAMS.get(name, name)
        message = f"Invalid '{param}': {first.message}."
    return Fault(
        status,
        message,
        kind=kind,
        code=code,
        param=param,
        retry_after_seconds=refusal.retry_after_seconds,
        counted_as=failure.code,
    )


def of_code(code: str, message: str) -> Fault:
    """Translates why a job gave nothing: the code and the text of its item."""
    failure = failures().get(code.upper()) or failures()["INTERNAL"]
    return of_refusal(Refusal(failure, message or failure.title))


def _usual(status: int, code: str) -> tuple[int, str, str]:
    if status >= 500:
        return status, _SERVER, code
    if status in (401, 403, 404, 408, 409, 413, 415, 429):
        return status, _REQUEST, code
    return 400, _REQUEST, code
