"""Calls to a service that is away: waited for while it is started again, and no longer."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from kit.errors import Unavailable
from kit.rpc import client, status
from kit.rpc.client import bridged, open_channel

ASK = health_pb2.HealthCheckRequest()


@pytest.fixture
def target() -> Iterator[str]:
    folder = tempfile.mkdtemp()  # a socket's path has at most 107 bytes
    yield f"unix:{Path(folder) / 'peer'}"
    shutil.rmtree(folder)


@asynccontextmanager
async def serving(target: str, servicer: Any) -> AsyncIterator[None]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(target)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


def check(channel: grpc.aio.Channel) -> Any:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    return bridged(channel, lambda: stub.Check(ASK, timeout=20))


async def test_a_call_is_answered_by_a_service_that_is_being_started(target: str) -> None:
    async with open_channel(target) as channel:
        calling = asyncio.create_task(check(channel))
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for _ in range(2):  # by then the channel has tried again as often as it does by itself
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Check(ASK, timeout=20)
        async with serving(target, health.aio.HealthServicer()):
            _, reply = await calling
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_service_that_stays_away_is_given_up(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RESTART_SECONDS", 0.1)
    async with open_channel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(channel)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_a_service_says_of_itself_is_not_asked_again(target: str) -> None:
    asked = 0

    class Busy(health_pb2_grpc.HealthServicer):
        async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
            nonlocal asked
            asked += 1
            await status.abort(context, Unavailable("the database cannot be reached"))

    async with serving(target, Busy()), open_channel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await check(channel)
    assert asked <= 4, "the attempts of one call, by the channel's own policy"


async def test_a_call_that_a_server_cut_off_at_its_end_is_made_again(target: str) -> None:
    class Ending(health.aio.HealthServicer):
        cut_off = False

        async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
            if not self.cut_off:
                self.cut_off = True
                await context.abort(grpc.StatusCode.CANCELLED)
            return await super().Check(request, context)

    async with serving(target, Ending()), open_channel(target) as channel:
        _, reply = await check(channel)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
