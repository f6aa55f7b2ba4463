"""The queue as a worker sees it: QueueService over gRPC, with losing a lease as its own error."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from atelier.jobs.v1 import queue_pb2 as pb
from atelier.jobs.v1.queue_pb2_grpc import QueueServiceStub

from kit.rpc.client import ServiceChannel
from kit.rpc.status import decode

Response = TypeVar("Response")

CALL_SECONDS = 5.0
# A step's result outlives a restart of jobs; the lease, which ends the task, is the real limit.
PATIENCE_TRIES_MAX = 60
PATIENCE_SECONDS = (0.2, 2.0)
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
)


class LeaseLost(Exception):
    """The item is somebody else's now; whatever it did here must have no effect."""


class Queue:
    """Calls of QueueService.

    Every method raises grpc.aio.AioRpcError where jobs cannot be reached, and those that name a
    lease raise LeaseLost.
    """

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub: Any = QueueServiceStub(channel.channel)

    async def claim(self, worker_id: str, pools: Sequence[str], slots: int) -> pb.ClaimResponse:
        """Takes at most ``slots`` items of some pools."""
        request = pb.ClaimRequest(worker_id=worker_id, pools=pools, slots=slots)
        reply: pb.ClaimResponse = await self._call(self._stub.Claim, request)
        return reply

    async def heartbeat(self, worker_id: str, leases: Sequence[pb.Lease]) -> pb.HeartbeatResponse:
        """Renews leases; says which items to stop and which are lost."""
        request = pb.HeartbeatRequest(worker_id=worker_id, leases=leases)
        reply: pb.HeartbeatResponse = await self._call(self._stub.Heartbeat, request)
        return reply

    async def report_progress(self, request: pb.ReportProgressRequest) -> bool:
        """Reports how far an item is; returns whether its owner canceled it."""
        reply: pb.ReportProgressResponse = await self._call(self._stub.ReportProgress, request)
        return reply.cancel_requested

    async def begin_step(
        self, lease: pb.Lease, step: str, content_hash: str
    ) -> pb.BeginStepResponse:
        """Asks what to do about a checkpointed step."""
        request = pb.BeginStepRequest(lease=lease, step=step, content_hash=content_hash)
        reply: pb.BeginStepResponse = await _patiently(
            lambda: self._call(self._stub.BeginStep, request)
        )
        return reply

    async def finish_step(self, lease: pb.Lease, content_hash: str, output_json: str) -> None:
        """Keeps the output of a checkpointed step."""
        request = pb.FinishStepRequest(
            lease=lease, content_hash=content_hash, output_json=output_json
        )
        await _patiently(lambda: self._call(self._stub.FinishStep, request))

    async def finish_item(self, request: pb.FinishItemRequest) -> None:
        """Ends an attempt; tried again until it is known, or the lease is lost."""
        await _patiently(lambda: self._call(self._stub.FinishItem, request))

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            # A lease counts from before its call: a claim that waits would come too late.
            return await self._channel.call(
                method, request, timeout_seconds=CALL_SECONDS, waits=False
            )
        except grpc.aio.AioRpcError as error:
            if decode(error).failure.reason == "LEASE_LOST":
                raise LeaseLost from None
            raise


async def _patiently(call: Callable[[], Awaitable[Response]]) -> Response:
    """Calls again while jobs is away or restarting: the result is worth more than the wait."""
    shortest, longest = PATIENCE_SECONDS
    for number in range(PATIENCE_TRIES_MAX):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in _PASSING or number == PATIENCE_TRIES_MAX - 1:
                raise
        await asyncio.sleep(min(shortest * 2**number, longest) * random.uniform(0.5, 1))  # noqa: S311
    raise AssertionError("the last try returns or raises")
