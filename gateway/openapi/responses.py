"""Which answers an operation may give: one per status, each with the codes that lead to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.openapi.comments import reasons
from gateway.openapi.examples import example
from gateway.openapi.schemas import Schemas
from gateway.problems import MEDIA_TYPE
from gateway.routes import Route
from kit.identity import Kind
from kit.rpc.contract import Failure, failures

# What every operation may meet.
_ALWAYS = (
    "URI_TOO_LONG",
    "HEADERS_TOO_LARGE",
    "REQUEST_TIMEOUT",
    "RATE_LIMITED",
    "OVERLOADED",
    "INTERNAL",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
)
_BODY = ("MALFORMED_BODY", "BODY_TOO_DEEP", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
_KEY = ("API_KEY_UNKNOWN", "API_KEY_EXPIRED", "API_KEY_REVOKED", "ACCOUNT_SUSPENDED")
_TEXT = {"schema": {"type": "string"}}
HEADERS: dict[str, Any] = {
    "X-Request-Id": {"description": "As sent, or a new one: logs know it.", **_TEXT},
    "RateLimit-Policy": {
        "description": 'The caller\'s quota of this kind of call: `"read";q=600;w=6` is 600 in '
        "6 s (draft-ietf-httpapi-ratelimit-headers-11).",
        **_TEXT,
    },
    "RateLimit": {
        "description": 'What is left of it: `"read";r=599;t=1`, full again in 1 s.',
        **_TEXT,
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "ETag": {"description": "Send it as If-None-Match.", **_TEXT},
    "Location": {"description": "Where the thing can be read.", **_TEXT},
    "Preference-Applied": {"description": "The part of Prefer that was heeded.", **_TEXT},
}


def _header(name: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"}}


_COMMON = _header("X-Request-Id") | _header("RateLimit-Policy") | _header("RateLimit")


class Responses:
    """Collects the refusals that operations refer to; each set of codes is written once."""

    def __init__(self, schemas: Schemas) -> None:
        self.named: dict[str, Any] = {}
        self._schemas = schemas

    def of(self, route: Route) -> dict[str, Any]:
        """Returns the answers of an operation by status."""
        found = dict(_successes(route, self._schemas))
        by_status: dict[int, list[Failure]] = {}
        comment = self._schemas.comments[route.method.full_name]
        for reason in dict.fromkeys(_reasons(route, comment)):
            failure = failures()[reason]
            by_status.setdefault(failure.http_status, []).append(failure)
        for status, refusals in sorted(by_status.items()):
            found[str(status)] = self._problem(refusals)
        return found

    def _problem(self, refusals: list[Failure]) -> dict[str, Any]:
        name = "Or".join(failure.reason.title().replace("_", "") for failure in refusals)
        self.named.setdefault(name, _problem(refusals))
        return {"$ref": f"#/components/responses/{name}"}


def _reasons(route: Route, comment: str) -> Iterator[str]:
    yield "INVALID_ARGUMENT"
    yield "UNAUTHENTICATED"
    if not route.policy.ignores_token:
        yield from _KEY
        yield "SCOPE_MISSING" if route.policy.scope else "NOT_FOR_API_KEYS"
    if route.policy.caller is not Kind.NOBODY:
        yield "PERMISSION_DENIED"
    if route.variables:
        yield "NOT_FOUND"
    if route.body:
        yield from _BODY
    if route.policy.idempotency_key_required:
        yield "IDEMPOTENCY_KEY_REQUIRED"
    if route.policy.idempotency_key_honoured:
        yield from ("IDEMPOTENCY_KEY_IN_USE", "IDEMPOTENCY_KEY_REUSED")
    if route.method.server_streaming:
        yield "TOO_MANY_STREAMS"
    yield from reasons(comment)
    yield from _ALWAYS


def _problem(of: list[Failure]) -> dict[str, Any]:
    first = of[0]
    headers = _header("X-Request-Id")
    if first.http_status in (429, 503):
        headers |= _header("Retry-After")
    shown = {
        "type": f"/docs/errors#{first.code}",
        "title": first.title,
        "status": first.http_status,
        "code": first.code,
        "detail": first.remedy,
        "request_id": "0197a2f4-5f00-7000-8000-000000000000",
    }
    return {
        "description": "; ".join(f"`{failure.code}`: {failure.title}" for failure in of),
        "headers": headers,
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": shown}
        },
    }


def _successes(route: Route, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    policy = route.policy
    if policy.success_status == 204:
        yield "204", {"description": "Done", "headers": _COMMON}
        return
    content = _content(route, schemas)
    headers = dict(_COMMON)
    if route.verb == "GET" and not route.method.server_streaming:
        headers |= _header("ETag")
    if policy.location:
        headers |= _header("Location")
    if policy.wait_path:
        headers |= _header("Preference-Applied")
        text = "The quote of a dry run, or what became final within `Prefer: wait`"
        yield "200", {"description": text, "headers": headers, "content": content}
    text = "Accepted" if policy.success_status == 202 else "Done"
    yield str(policy.success_status), {"description": text, "headers": headers, "content": content}
    if "ETag" in headers:
        shown = _COMMON | _header("ETag")
        yield "304", {"description": "Not changed since If-None-Match", "headers": shown}
    if route.method.server_streaming:
        text = "All was seen, and nothing will come: EventSource asks no more"
        yield "204", {"description": text, "headers": _COMMON}


def _event(data: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of one event of a stream, in the way of OpenAPI 3.2's itemSchema."""
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "One event; its data is JSON.",
        "required": ["event", "data"],
        "properties": {
            "id": text | {"description": "Send the last one as Last-Event-ID to go on."},
            "event": text
            | {"description": "The type, as in data; problem before an early end, with its data."},
            "data": text | {"contentMediaType": "application/json", "contentSchema": data},
        },
    }


def _content(route: Route, schemas: Schemas) -> dict[str, Any]:
    output = route.method.output_type
    schema = schemas.of_message(output, sent=False)
    if route.method.server_streaming:
        shown = {"id": "1", "event": "queued", "data": example(output, as_text=True)}
        return {"text/event-stream": {"schema": _event(schema), "example": shown}}
    return {"application/json": {"schema": schema, "example": example(output)}}
