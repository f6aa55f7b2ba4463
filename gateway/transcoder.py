"""HTTP and JSON to gRPC, driven by the routes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway import codec, problems, sse
from gateway.routes import Route, Router
from kit import telemetry
from kit.errors import DomainError, FieldViolation
from kit.rpc import status

BODY_BYTES_MAX = 1 << 20
UNARY_SECONDS = 30.0
STATUS_TRAILER = "atelier-http-status"
_FORWARDED = ("authorization", "idempotency-key")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class MalformedBody(DomainError):
    """The body is not JSON, or too large."""

    reason = "MALFORMED_BODY"


@dataclass(frozen=True)
class _Bound:
    route: Route
    request: type[Message]
    call: Any


class Transcoder:
    """Answers HTTP requests by gRPC calls.

    Args:
        router: The routes.
        channels: A channel for each domain of the protos, for example ``accounts``.
    """

    def __init__(self, router: Router, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._router = router
        self._bound = {route.method.full_name: _bind(route, channels) for route in router.routes}

    async def handle(self, request: Request) -> Response:
        """Answers one request."""
        request_id = request.state.request_id
        by_verb, values = self._router.match(request.scope["raw_path"])
        if not by_verb:
            return problems.response(problems.of_reason("NOT_FOUND", "no such path"), request_id)
        route = by_verb.get(request.method)
        if route is None:
            refusal = problems.of_reason(
                "METHOD_NOT_ALLOWED", f"{request.method} is not possible here"
            )
            return problems.response(refusal, request_id, {"allow": ", ".join(sorted(by_verb))})
        bound = self._bound[route.method.full_name]
        try:
            message = await _read(bound, request, values)
            if route.method.server_streaming:
                return await self._stream(bound, message, request)
            return await self._unary(bound, message, request)
        except DomainError as error:
            return problems.response(problems.of_error(error), request_id)
        except grpc.aio.AioRpcError as error:
            return problems.response(status.decode(error), request_id)

    async def _unary(self, bound: _Bound, message: Message, request: Request) -> Response:
        call = bound.call(message, metadata=_metadata(request), timeout=UNARY_SECONDS)
        reply = await call
        policy = bound.route.policy
        trailers = dict(await call.trailing_metadata())
        http_status = int(trailers.get(STATUS_TRAILER, policy.success_status))
        if http_status == 204:
            return Response(status_code=204)
        body = codec.to_json(reply)
        headers = {}
        if policy.location and http_status == policy.success_status:
            headers["location"] = _fill(policy.location, body)
        return Response(orjson.dumps(body), http_status, headers, media_type="application/json")

    async def _stream(self, bound: _Bound, message: Any, request: Request) -> Response:
        last = request.headers.get("last-event-id", "")
        if last.isdecimal():
            message.after_sequence = int(last)
        call = bound.call(message, metadata=_metadata(request))
        # The first message tells whether there is a stream at all: an unknown job is still a 404.
        first = await call.read()
        return sse.respond(call, first, request.state.request_id)


def _bind(route: Route, channels: Mapping[str, grpc.aio.Channel]) -> _Bound:
    method = route.method
    channel = channels[method.full_name.split(".")[1]]
    request = GetMessageClass(method.input_type)
    response = GetMessageClass(method.output_type)
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = make(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    return _Bound(route, request, call)


def _metadata(request: Request) -> tuple[tuple[str, str], ...]:
    forwarded = [(name, request.headers[name]) for name in _FORWARDED if name in request.headers]
    own = [("x-request-id", request.state.request_id)]
    return (*forwarded, *own, *telemetry.carrier().items())


async def _read(bound: _Bound, request: Request, values: list[str]) -> Message:
    route = bound.route
    message = bound.request()
    violations: list[FieldViolation] = []
    if route.body:
        given = await _json(request)
        violations += codec.from_json(message, given if route.body == "*" else {route.body: given})
    for name in dict.fromkeys(request.query_params):
        if name not in route.query_fields:
            violations.append(FieldViolation(name, "unknown query parameter"))
            continue
        violations += codec.from_query(message, name, request.query_params.getlist(name))
    for name, value in zip(route.variables, values, strict=True):
        violations += codec.from_query(message, name, [value])
    codec.refuse(violations)
    return message


async def _json(request: Request) -> Any:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise MalformedBody(f"the body is larger than {BODY_BYTES_MAX} bytes")
        return orjson.loads(bytes(body)) if body else {}
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error.msg}") from None
    except ClientDisconnect:
        raise MalformedBody("the body ended early") from None


def _fill(template: str, body: Mapping[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: str(body[found.group(1)]), template)
