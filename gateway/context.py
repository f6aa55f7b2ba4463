"""What every request gets: an id, a span, a line in the log, and headers that browsers heed."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit import metrics, telemetry
from kit.ids import uuid7

log = logging.getLogger(__name__)

REQUEST_ID_LENGTH_MAX = 64
# What metrics call a request that no part of the application has named, as a preflight.
_UNNAMED = "other"
VERSION = "0.1.0"
# Pages run their own scripts only; pictures come from storage, which has another address.
PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data: blob: http: https:; style-src 'self' "
    b"'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_PLAIN = (
    (b"atelier-version", VERSION.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"Accept-Encoding"),
)
_HTTPS = ((b"strict-transport-security", b"max-age=31536000"),)


class RequestContext:
    """Wraps an application; plain ASGI.

    Every answer is counted here, whoever gives it, by the name in ``scope["state"]["route"]`` and
    at its beginning: of a stream, what follows is not waiting.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        request_id = _request_id(headers)
        state = scope.setdefault("state", {})
        state["request_id"], state["headers"] = request_id, headers
        if "x-forwarded-for" in headers and not self._told:
            self._look_at_proxy(scope["client"], headers["x-forwarded-for"])
        began, status = time.perf_counter(), 0

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                route = state.get("route", _UNNAMED)
                seconds = time.perf_counter() - began
                metrics.HTTP_SECONDS.labels(route, status).observe(seconds)
                message["headers"] = [*message["headers"], *_headers(scope, request_id)]
            await send(message)

        with telemetry.span(scope["method"], SpanKind.SERVER, headers):
            await self._app(scope, receive, respond)
            milliseconds = round((time.perf_counter() - began) * 1e3, 1)
            about = {"request_id": request_id, "status": status, "milliseconds": milliseconds}
            log.info("%s %s", scope["method"], scope["path"], extra=about)

    def _look_at_proxy(self, client: tuple[str, int] | None, forwarded: str) -> None:
        """Says once that a proxy is not believed: all of its users share one bucket then.

        Where it was, the client is one of those that it names.
        """
        if client and client[0] not in forwarded:
            self._told = True
            log.warning("X-Forwarded-For is not believed: see ATELIER_TRUSTED_PROXIES")


def _headers(scope: Scope, request_id: str) -> tuple[tuple[bytes, bytes], ...]:
    policy = PAGE_POLICY if scope["state"].get("page") else _DATA_POLICY
    own = (
        *_PLAIN,
        (b"x-request-id", request_id.encode()),
        (b"content-security-policy", policy),
        (b"traceresponse", telemetry.traceresponse().encode()),
    )
    return (*own, *_HTTPS) if scope["scheme"] == "https" else own


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id", "")
    plain = given.isascii() and given.replace("-", "").replace("_", "").isalnum()
    return given if plain and len(given) <= REQUEST_ID_LENGTH_MAX else str(uuid7())
