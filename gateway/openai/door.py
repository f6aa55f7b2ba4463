"""The paths below ``/openai/v1``: who calls, how often, and what answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
import orjson
from starlette.responses import Response

from gateway.callers import Caller, Callers
from gateway.exchange import Exchange
from gateway.keys import Keys
from gateway.openai import chat, conversation, images, models
from gateway.openai.faults import Fault, of_refusal
from gateway.openai.pictures import Storage
from gateway.openai.studio import Studio, Wanted
from gateway.openai.waiting import Headers, Visit, Waiting, of_error
from gateway.rates import Limiter, check
from gateway.routes import OTHER
from gateway.sse import Streams
from kit.errors import Unauthenticated
from kit.rpc.status import Refusal

ROOT = "/openai/v1"
# What a key needs for making something here: asked for at once, and not when it is paid already.
SCOPES = ("jobs:write", "jobs:read", "works:read")
_MODELS = "/models/"
_MODEL = "/models/{model}"
# What there is, by its path below ROOT: the method, and from which bucket a call is drawn.
ROUTES: Mapping[str, tuple[str, str]] = {
    "/models": ("GET", "read"),
    _MODEL: ("GET", "read"),
    "/images/generations": ("POST", "submit"),
    "/chat/completions": ("POST", "submit"),
}
LABELS = frozenset(f"{verb} {ROOT}{path}" for path, (verb, _) in ROUTES.items())


@dataclass(frozen=True)
class _Call:
    """A request on its way to what answers it."""

    studio: Studio
    caller: Caller
    headers: Headers
    name: str = ""


Answer = Any  # an ASGI application with raw headers
Handler = Callable[[_Call], Awaitable[Answer]]


class Face:
    """Answers requests below ``/openai/v1``.

    Args:
        channels: By domain.
        callers: Tells who calls.
        keys: Turns API keys into tokens.
        limiter: The buckets that calls are drawn from.
        streams: Counts requests that wait.
        storage: From where pictures are read that an answer is to carry.
        wait_seconds: For a job, at most.
    """

    def __init__(
        self,
        channels: Mapping[str, grpc.aio.Channel],
        callers: Callers,
        keys: Keys,
        limiter: Limiter,
        streams: Streams,
        storage: Storage,
        wait_seconds: float,
    ) -> None:
        self._channels = channels
        self._callers = callers
        self._keys = keys
        self._limiter = limiter
        self._streams = streams
        self._storage = storage
        self._wait_seconds = wait_seconds
        self._handlers: dict[str, Handler] = {
            "/models": self._list_models,
            _MODEL: self._one_model,
            "/images/generations": self._generate,
            "/chat/completions": self._complete,
        }

    def label(self, exchange: Exchange) -> str:
        """Returns what metrics call a request; empty where its path is none of this face."""
        path = str(exchange.scope["path"])
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            return ""
        shown, _ = _matched(path.removeprefix(ROOT))
        if not shown:
            return f"{OTHER} {ROOT}/…"
        verb, _ = ROUTES[shown]
        return f"{verb if exchange.verb == verb else OTHER} {ROOT}{shown}"

    def refused(self, refusal: Refusal, exchange: Exchange) -> Response:  # noqa: ARG002
        """Returns a refusal as this face's clients read it."""
        return of_refusal(refusal).response()

    async def answer(self, exchange: Exchange) -> Answer:
        """Answers a request; of a job that takes its time, by an application that waits."""
        path = str(exchange.scope["path"]).removeprefix(ROOT)
        try:
            return await self._routed(exchange, path)
        except Exception as error:  # whatever it is, it has one shape here
            return of_error(error).response()

    async def _routed(self, exchange: Exchange, path: str) -> Answer:
        template, name = _matched(path)
        if not template:
            message = f"Unknown request URL: {exchange.scope['method']} {ROOT}{path[:200]}."
            raise Fault(404, message, code="unknown_url")
        verb, rate_class = ROUTES[template]
        allow = f"{verb}, OPTIONS" if verb == "POST" else "GET, HEAD, OPTIONS"
        if exchange.verb == "OPTIONS":
            return Response(status_code=204, headers={"allow": allow})
        if exchange.verb != verb:
            fault = Fault(405, f"Not possible here; use {verb}.", code="method_not_allowed")
            refused = fault.response()
            refused.headers["allow"] = allow
            return refused
        return await self._guarded(exchange, name, rate_class, self._handlers[template])

    async def _guarded(
        self, exchange: Exchange, name: str, rate_class: str, handler: Handler
    ) -> Answer:
        refused = await self._keys.open(exchange)
        authorization = exchange.headers.get("authorization", "")
        caller = self._callers.of(authorization, exchange.address)
        draw = self._limiter.draw(caller.kind, caller.name, rate_class)
        try:
            check(draw, rate_class)
            if refused is not None:
                raise refused
            if not authorization:
                raise Unauthenticated("You did not provide an API key: send Authorization: Bearer.")
            studio = Studio(self._channels, self._keys, exchange)
            answer = await handler(_Call(studio, caller, draw.headers, name))
        except Exception as error:  # as above
            answer = of_error(error).response()
        if isinstance(answer, Response):  # others wait, and take the headers along
            answer.raw_headers += draw.headers
        return answer

    async def _list_models(self, call: _Call) -> Answer:
        data = models.listed(await call.studio.templates())
        return _json({"object": "list", "data": data})

    async def _one_model(self, call: _Call) -> Answer:
        found = [each["id"] for each in models.listed(await call.studio.templates())]
        if call.name not in found:
            raise models.unknown(call.name)
        return _json(models.model(call.name))

    async def _generate(self, call: _Call) -> Answer:
        asked = images.read(await call.studio.exchange.json())
        if asked.inline:
            self._storage.check()
        wanted = Wanted(asked.template_id, "promotional_image", asked.n, asked.inputs)
        visit = await self._submit(call, wanted)
        return Waiting(visit, images.Pictures(asked, visit, self._storage))

    async def _complete(self, call: _Call) -> Answer:
        asked = conversation.read(await call.studio.exchange.json())
        wanted = Wanted(asked.template_id, "marketing_copy", 1, asked.inputs)
        visit = await self._submit(call, wanted)
        return chat.Chunks(asked, visit) if asked.stream else Waiting(visit, chat.Completion(visit))

    async def _submit(self, call: _Call, wanted: Wanted) -> Visit:
        authorization = call.studio.exchange.headers["authorization"]
        self._callers.check_scopes(authorization, SCOPES)
        place = self._streams.admit(call.caller.name)
        try:
            job = await call.studio.submit(wanted)
        except BaseException:
            place.release()
            raise
        location = (b"location", f"/v1/jobs/{job.id}".encode())
        headers = (*call.headers, location)
        return Visit(call.studio, job, place, self._wait_seconds, headers)


def _matched(path: str) -> tuple[str, str]:
    """Returns the route of a path and the model that it names; empty where there is none."""
    if path.startswith(_MODELS):
        name = unquote(path.removeprefix(_MODELS))
        return (_MODEL if name else ""), name
    return (path if path in ROUTES else ""), ""


def _json(body: Mapping[str, Any]) -> Response:
    headers = {"cache-control": "private, no-cache"}
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
