"""Server streams as server-sent events (WHATWG HTML §9.2), with bounds on their number."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from typing import Any

import grpc
import orjson
from starlette.types import Receive, Scope, Send

from gateway import problems
from gateway.bound import Bound
from kit import metrics
from kit.errors import DomainError
from kit.rpc import status

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
RECONNECT_MILLISECONDS = 1_000
# How long the first event may hold back the headers: a refusal comes sooner, and is an answer of
# its own; a stream in which nothing happens yet begins without one.
FIRST_SECONDS = 1.0
# How long a stream that is gone on with is looked at for its end, past the event that opens it.
END_SECONDS = 0.25
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_HEARTBEAT = b": still here\n\n"
_OPEN = "open"

Readings = deque[asyncio.Task[Any]]


class TooManyStreams(DomainError):
    """The caller, or this replica, has as many streams open as it may."""

    reason = "TOO_MANY_STREAMS"


class Streams:
    """The live streams of this replica.

    Args:
        total_max: Open at once.
        per_caller_max: Open at once for one caller.
    """

    def __init__(self, total_max: int, per_caller_max: int) -> None:
        self._total_max = total_max
        self._per_caller_max = per_caller_max
        self._by_caller: Counter[str] = Counter()
        self._places: set[Place] = set()
        self._closed = False

    def admit(self, caller: str) -> Place:
        """Counts a stream in.

        Raises:
            TooManyStreams: There are as many as there may be.
        """
        full = len(self._places) >= self._total_max
        if full or self._by_caller[caller] >= self._per_caller_max:
            raise TooManyStreams("too many streams are open", retry_after_seconds=5)
        self._by_caller[caller] += 1
        place = Place(self, caller)
        self._places.add(place)
        if self._closed:
            place.end()
        metrics.HTTP_STREAMS.set(len(self._places))
        return place

    def release(self, place: Place) -> None:
        """Counts a stream out; again changes nothing."""
        if place in self._places:
            self._places.discard(place)
            metrics.HTTP_STREAMS.set(len(self._places))
            self._by_caller[place.caller] -= 1
            if not self._by_caller[place.caller]:
                del self._by_caller[place.caller]

    def close(self) -> None:
        """Ends every stream, and those that still come: clients go on elsewhere where they were."""
        self._closed = True
        for place in self._places:
            place.end()


class Place:
    """A place among the streams.

    Attributes:
        closing: Done when the stream is to end.
    """

    def __init__(self, streams: Streams, caller: str) -> None:
        self.caller = caller
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._streams = streams
        self._timer: asyncio.TimerHandle | None = None

    def end_after(self, seconds: float) -> None:
        """Ends the stream by itself; its client connects again and goes on where it was."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def end(self) -> None:
        """Ends the stream."""
        if not self.closing.done():
            self.closing.set_result(None)

    def release(self) -> None:
        """Gives the place back."""
        if self._timer:
            self._timer.cancel()
        self._streams.release(self)


async def begun(call: Any, *, resumed: bool) -> Readings:
    """Begins to read a stream and waits a little for its first event.

    Args:
        call: The stream.
        resumed: The client goes on after an event; then it is looked whether anything is left.

    Returns:
        What is being read, done or not, in its order; nothing where the client has seen it all.

    Raises:
        grpc.aio.AioRpcError: The stream was refused.
    """
    try:
        readings: Readings = deque([await _read(call, FIRST_SECONDS)])
        if resumed and _opens(readings[0]):
            readings.append(await _read(call, END_SECONDS))
    except BaseException:
        call.cancel()
        raise
    is_over = readings[-1].done() and readings[-1].result() is grpc.aio.EOF
    return deque() if resumed and is_over else readings


async def _read(call: Any, seconds: float) -> asyncio.Task[Any]:
    reading: asyncio.Task[Any] = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait([reading], timeout=seconds)
    except asyncio.CancelledError:
        reading.cancel()
        raise
    if reading.done():
        reading.result()
    return reading


def _opens(reading: asyncio.Task[Any]) -> bool:
    return reading.done() and getattr(reading.result(), "type", "") == _OPEN


class Events:
    """The answer that carries a stream: an ASGI application."""

    status_code = 200

    def __init__(
        self,
        call: Any,
        readings: Readings,
        bound: Bound,
        request_id: str,
        place: Place,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.raw_headers = list(_HEADERS)
        self._call = call
        self._readings = readings
        self._encode = bound.encode
        self._cursor = bound.cursor
        self._request_id = request_id
        self._place = place
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends events until the stream ends, the client goes or the gateway closes."""
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await self._send_all(send, leaving)
            await send({"type": "http.response.body", "body": b""})
        finally:
            leaving.cancel()
            for reading in self._readings:
                reading.cancel()
            self._call.cancel()
            self._place.release()

    async def _send_all(self, send: Send, leaving: asyncio.Task[None]) -> None:
        await _write(send, f"retry: {RECONNECT_MILLISECONDS}\n\n".encode())
        while True:
            done, _ = await asyncio.wait(
                (self._readings[0], leaving, self._place.closing),
                timeout=self._heartbeat_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done - {self._readings[0]}:
                return
            if not done:
                await _write(send, _HEARTBEAT)
                continue
            event, is_last = self._event(self._readings.popleft())
            await _write(send, event)
            if is_last:
                return
            if not self._readings:
                self._readings.append(asyncio.ensure_future(self._call.read()))

    def _event(self, reading: asyncio.Task[Any]) -> tuple[bytes, bool]:
        """Returns what was read as an event, and whether it is the last."""
        try:
            message = reading.result()
        except grpc.aio.AioRpcError as error:
            # A service that went away comes back: the client connects again and goes on where
            # it was.
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return b"", True
            problem = problems.document(status.decode(error), self._request_id)
            return b"event: problem\ndata: " + orjson.dumps(problem) + b"\n\n", True
        if message is grpc.aio.EOF:
            return b"", True
        head = f"id: {getattr(message, self._cursor)}\nevent: {message.type}\ndata: "
        return head.encode() + orjson.dumps(self._encode(message)) + b"\n\n", False


async def _write(send: Send, chunk: bytes) -> None:
    if chunk:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
