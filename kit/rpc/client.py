"""Channels to other services: every call has a deadline, an identity, a trace and a policy."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc

from kit import telemetry
from kit.identity import Signer

Request = TypeVar("Request")
Response = TypeVar("Response")
UnaryCall = grpc.aio.UnaryUnaryCall[Any, Response]

CALL_SECONDS = 10.0
# A service that is started again is waited for; by then it serves, or something else is wrong.
RESTART_SECONDS = 10.0
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
# gRFC A6. Only UNAVAILABLE is tried again: every write of this house carries a natural key, so that
# a repeated one changes nothing.
_SERVICE_CONFIG = {
    # Behind one name there may be several replicas; the default stays with the first.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # Ten tokens, as in the proposal's example, were spent by one client that asked again while a
    # service restarted: for the next hundred calls nothing was tried twice.
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Two channels to one address in a process must not share a connection that a restart broke.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class ServiceChannel:
    """A channel to one service, and the metadata of calls over it.

    Attributes:
        channel: The gRPC channel.
        callee: The service's name, which is the audience of our tokens.
        signer: Signs in the name of this process.
    """

    channel: grpc.aio.Channel
    callee: str
    signer: Signer

    def metadata(self, on_behalf_of: uuid.UUID | None = None) -> tuple[tuple[str, str], ...]:
        """Returns the headers of one call: a fresh service token and the trace context."""
        token = self.signer.service_token(self.callee, on_behalf_of)
        return (("authorization", f"Bearer {token}"), *telemetry.carrier().items())

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        on_behalf_of: uuid.UUID | None = None,
        timeout_seconds: float = CALL_SECONDS,
        waits: bool = True,
    ) -> Response:
        """Calls a unary RPC of the service.

        Args:
            method: Of a stub over this channel.
            request: Its request.
            on_behalf_of: The user for whom we call.
            timeout_seconds: For the answer.
            waits: Whether to wait for a service that is being started again. Not where somebody
                else goes on anyway.

        Raises:
            grpc.aio.AioRpcError: The call failed; a handler lets it through to its own caller.
        """

        def start() -> UnaryCall[Response]:
            metadata = self.metadata(on_behalf_of)
            return method(request, metadata=metadata, timeout=timeout_seconds)

        if not waits:
            return await start()
        _, response = await bridged(self.channel, start)
        return response


async def bridged(
    channel: grpc.aio.Channel, start: Callable[[], UnaryCall[Response]]
) -> tuple[UnaryCall[Response], Response]:
    """Makes a call and, where its peer was away and is back in time, makes it once more.

    Returns:
        The call that was answered, and its answer.

    Raises:
        grpc.aio.AioRpcError: The call failed; UNAVAILABLE where the peer did not come back.
    """
    call = start()
    try:
        return call, await call
    except grpc.aio.AioRpcError as error:
        if not _was_away(error) or not await _is_back(channel):
            raise
    call = start()
    return call, await call


def _was_away(error: grpc.aio.AioRpcError) -> bool:
    """Whether nobody answered: a service that answers "unavailable" itself says why.

    A server that ends cancels what it could not finish in time; a call that we cancel ourselves
    raises something else.
    """
    said = {key for key, _ in error.trailing_metadata() or ()}
    return error.code() in _AWAY and "grpc-status-details-bin" not in said


async def _is_back(channel: grpc.aio.Channel) -> bool:
    try:
        async with asyncio.timeout(RESTART_SECONDS):
            await channel.channel_ready()
    except TimeoutError:
        return False
    return True


def open_channel(target: str) -> grpc.aio.Channel:
    """Opens a channel; it connects when first used and again whenever the peer comes back."""
    return grpc.aio.insecure_channel(target, options=_OPTIONS)
