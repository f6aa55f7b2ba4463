"""The gRPC server: every RPC goes through one guard (deadline, identity, policy, trace, errors)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from kit import metrics, telemetry
from kit.config import ServerSettings
from kit.errors import (
    DomainError,
    IdempotencyKeyRequired,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
)
from kit.identity import NOBODY, Identity, Kind, Verifier
from kit.rpc import status
from kit.rpc.contract import Policy, policies_of
from kit.rpc.room import Room

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

REQUEST_BYTES_MAX = 1 << 20
RESPONSE_BYTES_MAX = 4 << 20
CONNECTION_SECONDS_MAX = 300
UNARY_SECONDS_MAX = 30.0
_OPTIONS = [
    ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
    ("grpc.max_send_message_length", RESPONSE_BYTES_MAX),
    ("grpc.http2.min_ping_interval_without_data_ms", 15_000),
    ("grpc.so_reuseport", 0),
    # Clients connect anew and ask the name service again, so that a new replica gets its share; the
    # calls of the old connection end as they would.
    ("grpc.max_connection_age_ms", CONNECTION_SECONDS_MAX * 1_000),
]

# A service of health's own: that this process lives, whatever it waits for. Who restarts what hangs
# asks for this one; who sends calls asks for "".
LIVE = "live"


@dataclass
class Call:
    """What an RPC knows of its call beside the request.

    Attributes:
        identity: The verified caller.
        idempotency_key: As sent by the client, or empty.
        request_id: The id under which the client finds this call in logs.
    """

    identity: Identity
    idempotency_key: str
    request_id: str
    _context: Context = field(repr=False)

    def remaining_seconds(self) -> float:
        """Seconds until the caller gives up."""
        return min(self._context.time_remaining() or UNARY_SECONDS_MAX, UNARY_SECONDS_MAX)

    def answer_status(self, http_status: int) -> None:
        """Makes the gateway answer with another status than the policy's."""
        self._context.set_trailing_metadata((("atelier-http-status", str(http_status)),))


@dataclass(frozen=True)
class Binding:
    """A service of the protos and the object that implements it, one method per RPC."""

    service: ServiceDescriptor
    implementation: object


class _Guard:
    """Wraps the implementation of one RPC."""

    def __init__(
        self, method: MethodDescriptor, policy: Policy, verifier: Verifier, room: Room
    ) -> None:
        self._name = f"{method.containing_service.full_name}/{method.name}"
        self._policy = policy
        self._verifier = verifier
        self._room = room

    def unary(self, implementation: Callable[[Any, Call], Awaitable[Any]]) -> Any:
        async def handle(request: Any, context: Context) -> Any:
            with self._span(context), self._measured(context):
                try:
                    call = self._admit(context)
                    with self._room.call(self._policy, call.identity):
                        async with asyncio.timeout(call.remaining_seconds()):
                            return await implementation(request, call)
                except Exception as error:
                    await self._fail(error, context)

        return handle

    def stream(self, implementation: Callable[[Any, Call], AsyncIterator[Any]]) -> Any:
        async def handle(request: Any, context: Context) -> AsyncIterator[Any]:
            with self._span(context), self._measured(context):
                try:
                    call = self._admit(context)
                    with self._room.stream(call.identity):
                        async for message in implementation(request, call):
                            yield message
                except asyncio.CancelledError:
                    if self._room.is_closing:
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "the service is stopping")
                    raise
                except Exception as error:
                    await self._fail(error, context)

        return handle

    def _span(self, context: Context) -> Any:
        metadata = _metadata(context)
        return telemetry.span(self._name, SpanKind.SERVER, metadata)

    @contextmanager
    def _measured(self, context: Context) -> Iterator[None]:
        began = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):  # by the caller, who has hung up
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            seconds = time.perf_counter() - began
            code = context.code() or code  # unset until something was refused
            metrics.RPC_SECONDS.labels(self._name, code.name).observe(seconds)

    def _admit(self, context: Context) -> Call:
        metadata = _metadata(context)
        identity = self._identify(metadata.get("authorization", ""))
        if not self._policy.admits(identity):
            if identity.kind is Kind.NOBODY:
                raise Unauthenticated("sign in first: send an Authorization header")
            raise PermissionDenied("your account may not do this")
        self._policy.check_key(identity)
        # Users come through the gateway; a service says its own name.
        trace.get_current_span().set_attribute(telemetry.CALLER, identity.service or "gateway")
        key = metadata.get("idempotency-key", "")
        if self._policy.idempotency_key_required and not key:
            raise IdempotencyKeyRequired("send an Idempotency-Key header, for example a UUID")
        if not key and self._policy.idempotency_key_honoured and "idempotency-key" in metadata:
            # Whoever sends one counts on it; this one would make nothing safe to repeat.
            raise InvalidArgument.of(
                "Idempotency-Key", "is empty; send for example a UUID, or none"
            )
        return Call(identity, key, metadata.get("x-request-id", ""), context)

    def _identify(self, authorization: str) -> Identity:
        if not authorization or self._policy.ignores_token:
            return NOBODY
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated('the Authorization header must be "Bearer <token>"')
        return self._verifier.verify(token)

    async def _fail(self, error: Exception, context: Context) -> None:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, DomainError):
            await status.abort(context, error)
        if isinstance(error, grpc.aio.AioRpcError):
            await _relay(error, context)
        if isinstance(error, TimeoutError):
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "took too long")
        log.error("unexpected failure", exc_info=error, extra={"rpc": self._name})
        await context.abort(grpc.StatusCode.INTERNAL, "internal error")


async def _relay(error: grpc.aio.AioRpcError, context: Context) -> None:
    """Passes on the failure of a service that was called on the way."""
    metadata = tuple(
        (key, value)
        for key, value in (error.trailing_metadata() or ())
        if key == "grpc-status-details-bin"
    )
    await context.abort(error.code(), error.details() or "", metadata)


def _metadata(context: Context) -> dict[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _handler(method: MethodDescriptor, guard: _Guard, implementation: object) -> Any:
    function = getattr(implementation, method.name)
    request: type[Message] = GetMessageClass(method.input_type)
    response: type[Message] = GetMessageClass(method.output_type)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(
            guard.stream(function), request.FromString, response.SerializeToString
        )
    return grpc.unary_unary_rpc_method_handler(
        guard.unary(function), request.FromString, response.SerializeToString
    )


class Server:
    """A gRPC server with health, optional reflection, and a drain on stop.

    Args:
        settings: Where to listen, and how to stop.
        bindings: What to serve.
        serving: What health says at first; see :meth:`set_serving`.
    """

    def __init__(
        self, settings: ServerSettings, bindings: Sequence[Binding], *, serving: bool = True
    ) -> None:
        self._settings = settings
        self._serving_at_first = serving
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        verifier = Verifier(settings.service, settings.keys_dir)
        self._room = Room(settings.calls_max, settings.streams_max)
        for binding in bindings:
            self._add(binding, verifier)
        if settings.reflection:
            names = [binding.service.full_name for binding in bindings]
            reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], self._server)
        self._server.add_insecure_port(settings.listen)

    def _add(self, binding: Binding, verifier: Verifier) -> None:
        policies = policies_of(binding.service)
        handlers = {
            method.name: _handler(
                method,
                _Guard(method, policies[method.name], verifier, self._room),
                binding.implementation,
            )
            for method in binding.service.methods
        }
        generic = grpc.method_handlers_generic_handler(binding.service.full_name, handlers)
        self._server.add_generic_rpc_handlers((generic,))

    async def set_serving(self, serving: bool) -> None:
        """Makes health say whether calls make sense now; calls are taken either way."""
        states = health_pb2.HealthCheckResponse
        await self._health.set("", states.SERVING if serving else states.NOT_SERVING)

    async def __aenter__(self) -> Self:
        await self._health.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        await self.set_serving(self._serving_at_first)
        await self._server.start()
        log.info("serving", extra={"listen": self._settings.listen})
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_seconds)
        self._room.close()
        await self._server.stop(self._settings.grace_seconds)
