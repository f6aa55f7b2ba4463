"""The ASGI application: request ids, health, documents, pages, and the API for everything else."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import grpc
import orjson
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.trace import SpanKind
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.routing import Router as Pages
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import errors_page, openapi, problems
from gateway.routes import Router, routes
from gateway.transcoder import Transcoder
from kit import telemetry
from kit.ids import uuid7

log = logging.getLogger(__name__)

STUDIO = Path(__file__).parent / "studio"
# Only the assets of this package are used: Swagger UI 5, which knows OpenAPI 3.1.
SWAGGER = "fastapi_swagger"
REQUEST_ID_LENGTH_MAX = 64
HEALTH_SECONDS = 1.0
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Atelier API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"></head>
<body><div id="api"></div><script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#api", deepLinking: true})</script>
</body></html>
"""


class RequestContext:
    """Gives every request an id, a span and a line in the log, and answers what broke."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), 0

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        with telemetry.span(f"{scope['method']} {scope['path']}", SpanKind.SERVER, headers):
            try:
                await self._app(scope, receive, respond)
            except Exception:
                log.exception("request failed", extra={"request_id": request_id})
                if status:
                    raise
                refusal = problems.of_reason("INTERNAL", "an unexpected fault; see the request id")
                await problems.response(refusal, request_id)(scope, receive, respond)
            milliseconds = round((time.perf_counter() - began) * 1e3, 1)
            about = {"request_id": request_id, "status": status, "milliseconds": milliseconds}
            log.info("%s %s", scope["method"], scope["path"], extra=about)


def _request_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id", "")
    plain = given.isascii() and given.replace("-", "").replace("_", "").isalnum()
    return given if plain and len(given) <= REQUEST_ID_LENGTH_MAX else str(uuid7())


class Health:
    """Whether this process lives, and whether the services behind it serve."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._stubs = {
            name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()
        }

    async def live(self, request: Request) -> Response:  # noqa: ARG002
        """Answers as long as the event loop turns."""
        return Response(b'{"status":"live"}', media_type="application/json")

    async def ready(self, request: Request) -> Response:  # noqa: ARG002
        """Answers 200 when every service serves, else 503 naming those that do not."""
        names = list(self._stubs)
        serving = await asyncio.gather(*(self._serves(name) for name in names))
        down = [name for name, up in zip(names, serving, strict=True) if not up]
        body = {"status": "unready" if down else "ready", "down": down}
        return Response(orjson.dumps(body), 503 if down else 200, media_type="application/json")

    async def _serves(self, name: str) -> bool:
        check = self._stubs[name].Check  # type: ignore[attr-defined]  # its type stub lacks it
        try:
            reply = await check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def _swagger() -> Path:
    spec = importlib.util.find_spec(SWAGGER)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{SWAGGER} is not installed")
    return Path(spec.origin).parent / "resources"


def build(channels: Mapping[str, grpc.aio.Channel]) -> ASGIApp:
    """Composes the application over one channel per service."""
    document = openapi.text().encode()
    error_codes = errors_page.build()
    health = Health(channels)
    transcoder = Transcoder(Router(routes()), channels)

    async def openapi_json(request: Request) -> Response:  # noqa: ARG001
        return Response(document, media_type="application/json")

    async def docs(request: Request) -> Response:  # noqa: ARG001
        return HTMLResponse(_DOCS)

    async def errors(request: Request) -> Response:  # noqa: ARG001
        return HTMLResponse(error_codes)

    async def studio(request: Request) -> Response:  # noqa: ARG001
        return FileResponse(STUDIO / "index.html")

    pages = [
        Route("/", studio),
        Mount("/studio", StaticFiles(directory=STUDIO)),
        Route("/docs", docs),
        Route("/docs/errors", errors),
        Mount("/docs/assets", StaticFiles(directory=_swagger())),
        Route("/openapi.json", openapi_json),
        Route("/healthz", health.live),
        Route("/readyz", health.ready),
        Route("/{path:path}", transcoder.handle, methods=_METHODS),
    ]
    return RequestContext(Pages(pages))
