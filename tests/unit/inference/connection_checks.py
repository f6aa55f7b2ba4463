"""Calls of Triton: what they hold, and how those end that are not answered.

Where Triton's client is installed.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import AsyncIterator
from typing import Any

import grpc
from tritonclient.grpc import InferInput

from inference.engine.errors import EngineError
from inference.triton import connection
from inference.triton.connection import Connection, texts

SERVICE = "inference.GRPCInferenceService"
LARGE_BYTES = 3_000_000  # more than is on its way before the other side reads


async def _never(requests: Any, context: Any) -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


class _Reads:
    """Answers each call once it has read it, which it does when it is told to; then never ends."""

    def __init__(self) -> None:
        self.called, self.may_read = asyncio.Event(), asyncio.Event()

    async def stream(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        self.called.set()
        await self.may_read.wait()
        async for _ in requests:
            yield b""
        await asyncio.Event().wait()


async def _serving(stream: Any) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    handlers = {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    return server, target


async def _sent() -> dict[str, Any]:
    """How many calls have made their inputs while none is read, and hold them after all are."""
    made: list[weakref.ref[InferInput]] = []

    def inputs() -> list[InferInput]:
        given = texts("request", [bytes(LARGE_BYTES)])
        made.append(weakref.ref(given))
        return [given]

    reads = _Reads()
    server, target = await _serving(reads.stream)
    async with Connection(target, "generate") as asked:
        calls = [asked.ask(inputs, 60.0) for _ in range(3)]
        first = [asyncio.ensure_future(anext(call)) for call in calls]
        await reads.called.wait()
        at_once = len(made)
        first[0].cancel()  # halfway: the next one has its turn
        await asyncio.gather(first[0], return_exceptions=True)
        reads.may_read.set()
        await asyncio.gather(*first[1:])
        held = sum(each() is not None for each in made)
        for call in calls:
            await call.aclose()
    await server.stop(0)
    return {"at_once": at_once, "in_all": len(made), "held": held}


async def _ends(target: str) -> list[Any]:
    async with Connection(target, "generate") as asked:
        try:
            await asked.first(lambda: [texts("request", [b"{}"])], 0.3)
        except EngineError as error:
            return [error.reason, type(error).__name__, error.retry_after_seconds]
    return []


async def _checked() -> dict[str, Any]:
    sent = await _sent()
    connection.QUEUE_SECONDS_MAX = 0.2
    server, target = await _serving(_never)
    late = await _ends(target)
    await server.stop(0)
    return {"sent": sent, "late": late, "away": await _ends(target)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_checked())))
