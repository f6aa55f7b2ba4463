"""The document: every route as an operation, with all that it takes and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gateway import routes
from gateway.context import VERSION
from gateway.openapi.examples import example
from gateway.openapi.responses import HEADERS, Responses
from gateway.openapi.schemas import Schemas, or_empty
from gateway.routes import Route, is_required
from kit.identity import Kind
from kit.rpc.contract import Policy, failures

_ABOUT = """The backend of a generative-content studio.

**Signing in.** `POST /v1/auth/signup`, `/login` or `/guest` answers an access token for the
`Authorization: Bearer` header, and a refresh token that is traded once for the next session.

**API keys.** `POST /v1/api-keys` makes a key for a member's own servers, `atl_…`, sent in the same
header. It acts as its member within its scopes; every call that takes keys names the scope that it
needs under `apiKey`. Those without one need a session.

**Refusals** are problem documents (RFC 9457). Switch on `code`; [all codes](/docs/errors).

**Lists** take `limit` and `after` and answer `data`, `has_more` and `next_cursor`.

**Parts of an answer.** Every GET that is no stream takes `?fields=id,items.state`; of a
list the fields of its rows are meant.

**Again and again.** Every GET answers an `ETag`; sent back as `If-None-Match` it leads to 304 while
nothing has changed. An `Idempotency-Key` makes repeating a POST safe for 30 days.

**Live.** `events_url` of a job is a stream of server-sent events that goes on after
`Last-Event-ID`. It ends with the token or ticket that opened it.

**OpenAI's clients** work below `/openai/v1`, which has [a document of its own](/docs/openai).

**Limits.** A body has at most 1 MiB and 32 levels, headers 32 KiB, an address 8 KiB. `RateLimit`
says how many calls are left; 429 carries `Retry-After`.

64-bit integers are numbers below 2^53. Times are RFC 3339, ids UUIDv7.
"""


class _Document:
    def __init__(self) -> None:
        self._schemas = Schemas()
        self._responses = Responses(self._schemas)

    def build(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        tags: dict[str, str] = {}
        for route in routes.routes():
            service = route.method.containing_service
            tags[_tag(route)] = self._schemas.comments[service.full_name]
            paths.setdefault(route.path, {})[route.verb.lower()] = self._operation(route)
        return {
            "openapi": "3.1.0",
            "info": {"title": "Atelier", "version": VERSION, "description": _ABOUT},
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in tags.items()],
            "externalDocs": {"description": "All error codes", "url": "/docs/errors"},
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.named.items())),
                "responses": dict(sorted(self._responses.named.items())),
                "headers": HEADERS,
                "securitySchemes": {
                    "bearer": {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "JWT",
                        "description": "The access_token of a session.",
                    },
                    "apiKey": {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "atl_",
                        "description": "An API key with the scope that is named.",
                    },
                },
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        method, policy = route.method, route.policy
        text = self._schemas.comments[method.full_name]
        operation: dict[str, Any] = {
            "operationId": method.name[0].lower() + method.name[1:],
            "tags": [_tag(route)],
            "summary": text.split(". ")[0].rstrip("."),
            "description": text,
            "parameters": [*self._bound(route), *_headers(route)],
        }
        if policy.deprecation:
            operation["deprecated"] = True
        if route.body:
            operation["requestBody"] = self._body(route)
        operation["responses"] = self._responses.of(route)
        operation["security"] = list(_security(policy))
        return operation

    def _body(self, route: Route) -> dict[str, Any]:
        message: Any = route.body_message
        without = route.variables if route.body == "*" else ()
        media = {
            "schema": self._schemas.of_message(message, sent=True, without=without),
            "example": example(message, without=without),
        }
        required = any(is_required(f) for f in message.fields if f.name not in without)
        return {"required": required, "content": {"application/json": media}}

    def _bound(self, route: Route) -> Iterator[dict[str, Any]]:
        fields: Any = route.method.input_type.fields_by_name
        for name in route.variables:
            yield self._parameter(fields[name], "path")
        for name in route.query_fields:
            yield self._parameter(fields[name], "query")
        if route.verb == "GET" and not route.method.server_streaming:
            yield self._fields(route)

    def _fields(self, route: Route) -> dict[str, Any]:
        return {
            "name": "fields",
            "in": "query",
            "required": False,
            "description": "Only these fields, comma-separated; of a list those of its rows.",
            "style": "form",
            "explode": False,
            "schema": {
                "type": "array",
                "minItems": 1,
                "items": self._schemas.of_fields(route.method.output_type),
            },
        }

    def _parameter(self, field: Any, where: str) -> dict[str, Any]:
        schema = self._schemas.of_field(field, sent=True)
        return {
            "name": field.name,
            "in": where,
            "required": where == "path",
            "description": self._schemas.comments[field.full_name],
            "schema": or_empty(field, schema) if where == "query" else schema,
        }


def _security(policy: Policy) -> Iterator[dict[str, list[str]]]:
    """Yields the ways to call: OpenAPI 3.1 lets a scheme that is not OAuth name roles as well."""
    if policy.caller is Kind.NOBODY:
        yield {}
    yield {"bearer": []}
    if policy.scope:
        yield {"apiKey": [policy.scope]}


def _headers(route: Route) -> Iterator[dict[str, Any]]:
    policy = route.policy
    if policy.idempotency_key_honoured:
        yield _header(
            "Idempotency-Key",
            "The same key gives the same answer, for 30 days; for example a UUID.",
            {"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            required=policy.idempotency_key_required,
        )
    if policy.wait_path:
        text = "`wait=N` waits up to N seconds, at most 60, for the final state."
        yield _header("Prefer", text, {"examples": ["wait=5"]})
    if route.method.server_streaming:
        text = "The id of the last event seen: the stream goes on after it. Empty: none."
        yield _header("Last-Event-ID", text, {"pattern": "^[0-9]{0,18}$"})
    elif route.verb == "GET":
        yield _header("If-None-Match", "The ETag that is known: 304 while nothing changed.", {})


def _header(
    name: str, text: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": text,
        "schema": {"type": "string", **schema},
    }


def _tag(route: Route) -> str:
    name = str(route.method.containing_service.name).removesuffix("Service")
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def build() -> dict[str, Any]:
    """Builds the document."""
    failures()  # every reason has its status, or this raises
    return _Document().build()


def text() -> str:
    """Builds the document as it is committed."""
    return json.dumps(build(), indent=1, ensure_ascii=False, sort_keys=False) + "\n"
