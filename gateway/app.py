"""The ASGI application: the API by its routes, pages for everything else, and what wraps both."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import grpc
from opentelemetry import trace
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import problems
from gateway.callers import Callers
from gateway.config import GatewaySettings
from gateway.context import RequestContext
from gateway.exchange import Exchange
from gateway.keys import Keys, trade_at
from gateway.openai.door import Face
from gateway.openai.pictures import Storage
from gateway.pages import Pages
from gateway.rates import Limiter, Rates
from gateway.routes import Router, routes
from gateway.sse import Streams
from gateway.transcoder import Transcoder
from kit.identity import Verifier
from kit.rpc.status import Refusal

log = logging.getLogger(__name__)

GZIP_BYTES_MIN = 1_024
# Level 9 takes three times as long as 5 for 2 % less.
GZIP_LEVEL = 5
CORS_SECONDS = 86_400
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Any: what a page may send is nothing that a program could not, and clients bring headers of their
# own, as OpenAI's its X-Stainless-*. Cookies are never let in.
_READ_HEADERS = ["*"]
_SHOWN_HEADERS = [
    "Atelier-Version",
    "Content-Location",
    "Deprecation",
    "ETag",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Sunset",
    "X-Request-Id",
]


class Compressed:
    """Sends who reads gzip through Starlette's compression, and nobody else: that costs 30 us."""

    def __init__(self, app: ASGIApp) -> None:
        self._plain = app
        self._gzip = GZipMiddleware(app, GZIP_BYTES_MIN, GZIP_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        reads_gzip = "gzip" in scope["state"]["headers"].get("accept-encoding", "")
        await (self._gzip if reads_gzip else self._plain)(scope, receive, send)


class Door(Protocol):
    """A part of the API that answers below its own paths."""

    def label(self, exchange: Exchange) -> str:
        """Returns what metrics and traces call a request; empty: it is not for this door."""

    def refused(self, refusal: Refusal, exchange: Exchange) -> ASGIApp:
        """Returns a refusal in the shape that this door's clients read."""

    async def answer(self, exchange: Exchange) -> Any:
        """Returns what answers a request: an ASGI application."""


class Front:
    """Sends each request to the API or to the pages, and answers what broke.

    Pages and health are answered however much is in work: a probe must not take a replica that is
    busy for one that is dead.

    Args:
        transcoder: The API.
        face: The OpenAI-compatible one.
        pages: Everything else.
        settings: The limits.
    """

    def __init__(
        self, transcoder: Transcoder, face: Face, pages: ASGIApp, settings: GatewaySettings
    ) -> None:
        self._doors: tuple[Door, ...] = (face, transcoder)
        self._pages = pages
        self._body_seconds = settings.body_seconds
        self._requests_max = settings.requests_max
        self._in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        began = False

        async def respond(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            answer = await self._answer(Exchange(scope, receive, self._body_seconds))
            await answer(scope, receive, respond)
        except Exception:
            request_id = scope["state"]["request_id"]
            log.exception("request failed", extra={"request_id": request_id})
            if began:
                raise
            refusal = problems.of_reason("INTERNAL", "an unexpected fault; see the request id")
            await problems.response(refusal, request_id)(scope, receive, send)

    async def _answer(self, exchange: Exchange) -> ASGIApp:
        for door in self._doors:
            if label := door.label(exchange):
                exchange.scope["state"]["route"] = label
                trace.get_current_span().update_name(label)
                return await self._within_limit(door, exchange)
        return self._pages

    async def _within_limit(self, door: Door, exchange: Exchange) -> ASGIApp:
        if self._in_work >= self._requests_max:
            refusal = problems.of_reason("OVERLOADED", "too many requests are in work")
            return door.refused(refusal, exchange)
        self._in_work += 1
        try:
            answer: ASGIApp = await door.answer(exchange)
            return answer
        finally:
            self._in_work -= 1


def build(
    channels: Mapping[str, grpc.aio.Channel],
    settings: GatewaySettings,
    streams: Streams,
    storage: Storage,
) -> ASGIApp:
    """Composes the application over one channel per service."""
    limiter = Limiter(
        {
            "member": Rates.of(settings.rate_member),
            "guest": Rates.of(settings.rate_guest),
            "address": Rates.of(settings.rate_address),
        }
    )
    callers = Callers(Verifier("gateway", settings.keys_dir))
    trade = trade_at(channels["accounts"])
    keys = Keys(trade, limiter, settings.key_seconds, settings.key_stream_seconds)
    transcoder = Transcoder(Router(routes()), channels, callers, keys, limiter, streams)
    wait = settings.openai_wait_seconds
    face = Face(channels, callers, keys, limiter, streams, storage, wait)
    app: ASGIApp = Front(transcoder, face, Pages(channels), settings)
    app = Compressed(app)
    if settings.origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.origins,
            allow_methods=_METHODS,
            allow_headers=_READ_HEADERS,
            expose_headers=_SHOWN_HEADERS,
            max_age=CORS_SECONDS,
        )
    return RequestContext(app)
