"""How a call of Triton ends that is not answered; where Triton's client is installed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc

from inference.engine.errors import EngineError
from inference.triton import connection
from inference.triton.connection import Connection, texts

SERVICE = "inference.GRPCInferenceService"


async def _never(requests: Any, context: Any) -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def _ends(target: str) -> list[Any]:
    async with Connection(target, "generate") as asked:
        try:
            await asked.first([texts("request", [b"{}"])], 0.3)
        except EngineError as error:
            return [error.reason, type(error).__name__, error.retry_after_seconds]
    return []


async def _checked() -> dict[str, Any]:
    connection.QUEUE_SECONDS_MAX = 0.2
    server = grpc.aio.server()
    handlers = {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler(_never)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    late = await _ends(target)
    await server.stop(0)
    return {"late": late, "away": await _ends(target)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_checked())))
