"""What is not the API: the studio page, the documents, health. Everything is served from here."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import grpc
import orjson
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import errors_page, openapi, problems
from gateway.openai import document

STUDIO = Path(__file__).parent / "studio"
# Only the assets of this package are used: Swagger UI 5, which knows OpenAPI 3.1.
SWAGGER = "fastapi_swagger"
HEALTH_SECONDS = 1.0
_JSON = "application/json"
# What metrics call these paths: the pages together, health by its probe, what is none at all.
_PAGES = "pages"
_UNKNOWN = "unknown"
_REVALIDATED = {"cache-control": "no-cache"}


class Health:
    """Whether this process lives, and whether the services behind it serve."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._stubs = {
            name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()
        }

    async def live(self, request: Request) -> Response:
        """Answers as long as the event loop turns."""
        request.scope["state"]["route"] = "GET /healthz"
        return _json(b'{"status":"live"}')

    async def ready(self, request: Request) -> Response:
        """Answers 200 when every service serves, else 503 naming those that do not."""
        request.scope["state"]["route"] = "GET /readyz"
        names = list(self._stubs)
        serving = await asyncio.gather(*(self._serves(name) for name in names))
        down = [name for name, up in zip(names, serving, strict=True) if not up]
        body = {"status": "unready" if down else "ready", "down": down}
        return _json(orjson.dumps(body), 503 if down else 200)

    async def _serves(self, name: str) -> bool:
        check = self._stubs[name].Check  # type: ignore[attr-defined]  # its type stub lacks it
        try:
            reply = await check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, media_type=_JSON)


def _swagger() -> Path:
    spec = importlib.util.find_spec(SWAGGER)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{SWAGGER} is not installed")
    return Path(spec.origin).parent / "resources"


def _constant(path: str, content: str, media_type: str) -> Route:
    body = content.encode()

    async def answer(request: Request) -> Response:  # noqa: ARG001
        return Response(body, headers=_REVALIDATED, media_type=media_type)

    return Route(path, answer)


def _file(path: str, name: str) -> Route:
    async def answer(request: Request) -> Response:  # noqa: ARG001
        return FileResponse(STUDIO / name, headers=_REVALIDATED)

    return Route(path, answer)


def routes(health: Health) -> list[BaseRoute]:
    """Returns the routes of the pages."""
    return [
        _file("/", "index.html"),
        Mount("/studio", StaticFiles(directory=STUDIO)),
        _file("/docs", "docs.html"),
        _file("/docs/openai", "docs_openai.html"),
        _constant("/docs/errors", errors_page.html(), HTMLResponse.media_type or ""),
        _constant("/docs/errors.json", errors_page.json(), _JSON),
        Mount("/docs/assets", StaticFiles(directory=_swagger())),
        _constant("/openapi.json", openapi.text(), _JSON),
        _constant(document.PATH, document.text(), _JSON),
        Route("/healthz", health.live),
        Route("/readyz", health.ready),
    ]


class Pages:
    """The pages; whatever is no page is a problem document."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        router = Router(routes(Health(channels)))
        self._app: ASGIApp = ExceptionMiddleware(router, {HTTPException: _problem})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        scope["app"] = self  # makes the router raise its 404 and 405 for us to answer
        scope["state"].update(page=True, route=_PAGES)
        await self._app(scope, receive, send)


async def _problem(request: Request, error: Exception) -> Response:
    failed = error if isinstance(error, HTTPException) else HTTPException(500)
    request_id = request.scope["state"]["request_id"]
    if failed.status_code == 405:
        allow = {"allow": "GET, HEAD, OPTIONS"}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        refusal = problems.of_reason("METHOD_NOT_ALLOWED", f"{request.method} is not possible here")
        return problems.response(refusal, request_id, allow)
    request.scope["state"].update(page=False, route=_UNKNOWN)
    return problems.response(problems.of_reason("NOT_FOUND", "no such path"), request_id)
