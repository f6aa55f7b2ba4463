"""Server streams as server-sent events (WHATWG HTML §9.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
from starlette.responses import Response, StreamingResponse

from gateway import codec, problems
from kit.rpc import status

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
RECONNECT_MILLISECONDS = 1_000
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def respond(call: Any, first: Any, request_id: str) -> Response:
    """Answers with the messages of a stream; each carries its sequence as id and its type."""
    return StreamingResponse(
        _events(call, first, request_id), headers=_HEADERS, media_type="text/event-stream"
    )


async def _events(call: Any, first: Any, request_id: str) -> AsyncIterator[bytes]:
    reading: asyncio.Task[Any] | None = None
    try:
        yield f"retry: {RECONNECT_MILLISECONDS}\n\n".encode()
        message = first
        while message is not grpc.aio.EOF:
            yield _event(message)
            reading = asyncio.ensure_future(call.read())
            while not (await asyncio.wait([reading], timeout=HEARTBEAT_SECONDS))[0]:
                yield b": still here\n\n"
            message = reading.result()
    except grpc.aio.AioRpcError as error:
        # A service that went away comes back: the client connects again and goes on where it was.
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            problem = problems.document(status.decode(error), request_id)
            yield b"event: error\ndata: " + orjson.dumps(problem) + b"\n\n"
    finally:
        if reading is not None:
            reading.cancel()
        call.cancel()


def _event(message: Any) -> bytes:
    data = orjson.dumps(codec.to_json(message))
    head = f"id: {message.sequence}\nevent: {message.type}\ndata: "
    return head.encode() + data + b"\n\n"
