"""HTTP and JSON to gRPC, driven by the routes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import grpc
import orjson
from google.protobuf.message import Message
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway import codec, encoding, prefer, problems, sse
from gateway.bound import Bound, bind, fill
from gateway.callers import Callers
from gateway.exchange import Exchange
from gateway.keys import Keys
from gateway.rates import Limiter, check
from gateway.routes import OTHER, Router
from kit import telemetry
from kit.crash import crash_point
from kit.errors import DomainError, FieldViolation, InvalidArgument
from kit.rpc import status
from kit.rpc.client import bridged

UNARY_SECONDS = 30.0
STATUS_TRAILER = "atelier-http-status"
_FORWARDED = ("authorization", "idempotency-key")
_FIELDS = "fields"
_LIMIT = "limit"
_TICKET = "ticket"
_ETAG_BYTES = 12
_EVENT_ID_DIGITS_MAX = 18

Metadata = tuple[tuple[str, str], ...]
Answer = Response | sse.Events | prefer.Awaited


class Transcoder:
    """Answers HTTP requests by gRPC calls.

    Args:
        router: The routes.
        channels: A channel for each domain of the protos, for example ``accounts``.
        callers: Tells who calls.
        keys: Turns API keys into tokens.
        limiter: The buckets that calls are drawn from.
        streams: Counts and ends live streams.
    """

    def __init__(
        self,
        router: Router,
        channels: Mapping[str, grpc.aio.Channel],
        callers: Callers,
        keys: Keys,
        limiter: Limiter,
        streams: sse.Streams,
    ) -> None:
        self._router = router
        self._channels = channels
        self._bound = {route.method.full_name: bind(route, channels) for route in router.routes}
        self._callers = callers
        self._keys = keys
        self._limiter = limiter
        self._streams = streams

    def label(self, exchange: Exchange) -> str:
        """Returns what metrics call a request; empty where no route has its path."""
        by_verb, _ = self._router.match(exchange.scope["raw_path"])
        if exchange.verb in by_verb:
            return f"{exchange.verb} {by_verb[exchange.verb].path}"
        return f"{OTHER} {next(iter(by_verb.values())).path}" if by_verb else ""

    def refused(self, refusal: status.Refusal, exchange: Exchange) -> Response:
        """Returns a refusal as a problem document."""
        return problems.response(refusal, exchange.request_id)

    async def answer(self, exchange: Exchange) -> ASGIApp:
        """Answers one request to a path that a route has."""
        by_verb, values = self._router.match(exchange.scope["raw_path"])
        allowed = {*by_verb, "OPTIONS", *(["HEAD"] if "GET" in by_verb else [])}
        allow = {"allow": ", ".join(sorted(allowed))}
        if exchange.verb == "OPTIONS":
            return Response(status_code=204, headers=allow)
        route = by_verb.get(exchange.verb)
        if route is None:
            verb = exchange.scope["method"]
            refusal = problems.of_reason("METHOD_NOT_ALLOWED", f"{verb} is not possible here")
            return problems.response(refusal, exchange.request_id, allow)
        return await self._guarded(self._bound[route.method.full_name], values, exchange)

    async def _guarded(self, bound: Bound, values: list[str], exchange: Exchange) -> Answer:
        """Answers by a route; a refusal becomes a problem document."""
        refused = None if bound.route.policy.ignores_token else await self._keys.open(exchange)
        caller = self._callers.of(exchange.headers.get("authorization", ""), exchange.address)
        draw = self._limiter.draw(caller.kind, caller.name, bound.route.policy.rate_class)
        answer: Answer
        try:
            check(draw, bound.route.policy.rate_class)
            if refused is not None:
                raise refused
            message = await _read(bound, exchange, values)
            if bound.route.method.server_streaming:
                answer = await self._stream(bound, message, exchange, caller.name)
            else:
                answer = await self._unary(bound, message, exchange, caller.name)
        except DomainError as error:
            refusal = _seen_from_outside(problems.of_error(error), bound)
            answer = problems.response(refusal, exchange.request_id)
        except grpc.aio.AioRpcError as error:
            refusal = _seen_from_outside(status.decode(error), bound)
            answer = problems.response(refusal, exchange.request_id)
        answer.raw_headers += (*draw.headers, *bound.headers)
        return answer

    async def _unary(
        self, bound: Bound, message: Message, exchange: Exchange, caller: str
    ) -> Response | prefer.Awaited:
        encode, selection = _encoder(bound, exchange)
        metadata = _metadata(exchange)
        call, raw = await bridged(
            self._channels[bound.domain],
            lambda: bound.call(message, metadata=metadata, timeout=UNARY_SECONDS),
        )
        crash_point("answer.lost")
        policy = bound.route.policy
        trailers = dict(await call.trailing_metadata())
        http_status = int(trailers.get(STATUS_TRAILER, policy.success_status))
        if http_status == 204:
            return Response(status_code=204)
        if bound.route.verb == "GET":
            return _readable(bound, raw, encode, selection, exchange)
        body = encode(bound.response.FromString(raw))
        headers = {"cache-control": "no-store"}
        if http_status == policy.success_status:
            if policy.location:
                headers["location"] = fill(policy.location, body)
            wait = prefer.wait_seconds(exchange.headers) if policy.wait_path else None
            if wait is not None:
                accepted = _json(body, http_status, headers)
                path = fill(policy.wait_path, body)
                outcome = partial(self._final, path, headers["location"], exchange)
                return prefer.heeded(wait, accepted, outcome, exchange, self._streams, caller)
        return _json(body, http_status, headers)

    async def _final(self, wait_path: str, location: str, exchange: Exchange) -> Response:
        """Follows what was accepted to its end, and reads it."""
        follow, message = self._get(wait_path)
        call = follow.call(message, metadata=_metadata(exchange))
        try:
            while await call.read() is not grpc.aio.EOF:
                pass
        finally:
            call.cancel()
        read, message = self._get(location)
        raw = await read.call(message, metadata=_metadata(exchange), timeout=UNARY_SECONDS)
        headers = {
            "cache-control": "no-store",
            "location": location,
            "content-location": location,
        }
        return _json(read.encode(read.response.FromString(raw)), 200, headers)

    def _get(self, path: str) -> tuple[Bound, Message]:
        by_verb, values = self._router.match(path.encode())
        bound = self._bound[by_verb["GET"].method.full_name]
        message = bound.request()
        codec.refuse(_bind_path(bound, message, values))
        return bound, message

    async def _stream(
        self, bound: Bound, message: Message, exchange: Exchange, caller: str
    ) -> Response | sse.Events:
        cursor = f"after_{bound.cursor}"
        if last := exchange.headers.get("last-event-id", ""):
            setattr(message, cursor, _event_id(last))
        authorization = exchange.headers.get("authorization", "")
        holder = self._callers.holder(authorization, getattr(message, _TICKET, ""))
        place = self._streams.admit(holder.name if holder else caller)
        # Of whom a service lets in and this gateway does not know, as where their clocks differ, no
        # end is known either: he comes again soon, as one with an API key does.
        known = holder if not exchange.api_key else None
        place.end_after(known.seconds if known else self._keys.stream_seconds)
        try:
            call = bound.call(message, metadata=_metadata(exchange))
            readings = await sse.begun(call, resumed=bool(getattr(message, cursor)))
        except BaseException:
            place.release()
            raise
        if not readings:  # 204 keeps EventSource from asking again
            place.release()
            return Response(status_code=204)
        return sse.Events(call, readings, bound, exchange.request_id, place)


def _seen_from_outside(refusal: status.Refusal, bound: Bound) -> status.Refusal:
    """Names fields as the client sent them: the body may be a field of the gRPC request."""
    prefix = f"{bound.route.body}."
    if not any(each.field.startswith(prefix) for each in refusal.violations):
        return refusal
    violations = tuple(
        FieldViolation(each.field.removeprefix(prefix), each.message) for each in refusal.violations
    )
    return replace(refusal, violations=violations)


def _readable(
    bound: Bound, raw: bytes, encode: encoding.EncodeMessage, selection: str, exchange: Exchange
) -> Response:
    """Answers a read with an entity tag, or 304 where the client has it: then nothing is decoded.

    The tag is weak: it names the content, whatever its compression.
    """
    digest = hashlib.blake2b(raw, digest_size=_ETAG_BYTES)
    digest.update(selection.encode())
    tag = f'W/"{digest.hexdigest()}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if _has(exchange.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return _json(encode(bound.response.FromString(raw)), 200, headers)


def _has(if_none_match: str, tag: str) -> bool:
    if not if_none_match:
        return False
    given = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return "*" in given or tag.removeprefix("W/") in given


def _json(body: dict[str, object], http_status: int, headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(body), http_status, headers, media_type="application/json")


def _encoder(bound: Bound, exchange: Exchange) -> tuple[encoding.EncodeMessage, str]:
    if bound.route.verb != "GET" or _FIELDS.encode() not in exchange.scope["query_string"]:
        return bound.encode, ""
    given = exchange.query().get(_FIELDS)
    if given is None:
        return bound.encode, ""
    selection = ",".join(given)
    return encoding.partial_encoder(bound.route.method.output_type, selection), selection


def _event_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _EVENT_ID_DIGITS_MAX):
        raise InvalidArgument.of("Last-Event-ID", "must be the id of an event, as it was sent")
    return int(text)


def _metadata(exchange: Exchange) -> Metadata:
    """Returns what goes along with a call.

    Raises:
        InvalidArgument: A header has characters that gRPC does not carry.
    """
    headers = exchange.headers
    forwarded = [(name, headers[name]) for name in _FORWARDED if name in headers]
    for name, value in forwarded:
        if not (value.isascii() and value.isprintable()):
            raise InvalidArgument.of(name.title(), "must be printable ASCII")
    own = [("x-request-id", exchange.request_id)]
    return (*forwarded, *own, *telemetry.carrier().items())


async def _read(bound: Bound, exchange: Exchange, values: list[str]) -> Message:
    route = bound.route
    message = bound.request()
    violations: list[FieldViolation] = []
    if route.body:
        given = await exchange.json()
        violations += codec.from_json(message, given if route.body == "*" else {route.body: given})
        if isinstance(given, dict):
            missing = [name for name in bound.required if given.get(name) is None]
            violations += [FieldViolation(name, "is required") for name in missing]
    for name, texts in exchange.query().items():
        if name in bound.query_fields:
            found = codec.from_query(message, name, texts)
            if name == _LIMIT and not found and not message.limit:  # type: ignore[attr-defined]
                found = [FieldViolation(_LIMIT, "must be 1 or more")]
            violations += found
        elif name != _FIELDS or route.verb != "GET" or route.method.server_streaming:
            violations.append(FieldViolation(name, "unknown query parameter"))
    violations += _bind_path(bound, message, values)
    codec.refuse(violations)
    return message


def _bind_path(bound: Bound, message: Message, values: list[str]) -> list[FieldViolation]:
    return [
        violation
        for name, value in zip(bound.route.variables, values, strict=True)
        for violation in codec.from_query(message, name, [value])
    ]
