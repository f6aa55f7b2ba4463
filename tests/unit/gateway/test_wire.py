"""Connections on which something comes after an answer that is no request."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from gateway import wire
from tests.patience import growing
from tests.unit.gateway.house import counted, refusals, serving

KEEP_ALIVE_SECONDS = 1
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, without reading the body."""
    await send(
        {"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with serving(answer, timeout_keep_alive=KEEP_ALIVE_SECONDS) as made:
        yield made


async def connect(http: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(http.base_url.host, http.base_url.port)


@pytest.mark.parametrize(
    ("request_", "rest"),
    [(POST, b"1"), (POST, b"123456789"), (GET, b"\r\n"), (POST, b"123456789\r\n")],
)
async def test_a_connection_on_which_no_request_follows_is_closed(
    http: httpx.AsyncClient, request_: bytes, rest: bytes
) -> None:
    reader, writer = await connect(http)
    writer.write(request_)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
    writer.write(rest)
    async with asyncio.timeout(KEEP_ALIVE_SECONDS + 60):
        assert await reader.read() == b""
    writer.close()


async def test_who_trickles_a_body_that_was_refused_wins_no_time(http: httpx.AsyncClient) -> None:
    reader, writer = await connect(http)
    writer.write(POST.replace(b"9", b"9999"))
    await reader.readuntil(b"\r\n\r\n")
    closed = asyncio.create_task(reader.read())
    async with asyncio.timeout(KEEP_ALIVE_SECONDS + 60):
        while not closed.done():
            writer.write(b"1")
            await asyncio.wait([closed], timeout=0.2)
    writer.close()


async def test_a_request_that_follows_the_rest_of_a_body_is_answered_and_kept() -> None:
    for seconds in growing(KEEP_ALIVE_SECONDS):
        async with serving(answer, timeout_keep_alive=int(seconds)) as http:
            if await three_times(http, seconds):
                return
    pytest.fail("this process was always late itself")


async def three_times(http: httpx.AsyncClient, seconds: float) -> bool:
    """Asks in half of the time each; whether it was not too late for that itself."""
    clock = asyncio.get_running_loop().time
    reader, writer = await connect(http)
    try:
        for _ in range(3):
            asked_at = clock()
            writer.write(POST)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
            writer.write(b"123456789")
            quiet = asyncio.create_task(reader.read(1))
            await asyncio.wait([quiet], timeout=seconds / 2)
            if clock() - asked_at >= seconds:
                return False
            assert not quiet.done(), "each request has the whole time anew"
            quiet.cancel()
            await asyncio.wait([quiet])
    finally:
        writer.close()
    return True


class Long:
    """An answer of 32 MB in pieces, which notes how it ended."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.sent = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sending = asyncio.create_task(self._send(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
        await sending

    async def _send(self, send: Any) -> None:
        for _ in range(4):
            piece = {"type": "http.response.body", "body": bytes(8 << 20), "more_body": True}
            await send(piece)
        if not self.gone.is_set():
            self.sent.set()
            await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("reads", [False, True])
async def test_who_reads_nothing_of_an_answer_is_let_go_and_who_reads_slowly_is_not(
    reads: bool,
) -> None:
    for seconds in growing(0.5):
        if await asked(Long(), reads, seconds):
            return
    pytest.fail("this process was always late itself")


async def asked(app: Long, reads: bool, seconds: float) -> bool:
    """Asks for the long answer; whether it was not too late itself to be who reads slowly."""
    async with serving(app, http=wire.protocol(5.0, seconds)) as http:
        with socket.socket() as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (http.base_url.host, http.base_url.port))
            await loop.sock_sendall(client, GET)
            ended, latest = app.sent if reads else app.gone, 0.0
            async with asyncio.timeout(120):
                while reads and not ended.is_set():
                    read_at = loop.time()
                    received = await loop.sock_recv(client, 1 << 17)
                    await asyncio.sleep(
                        seconds / 100
                    )  # all of it takes two and a half times as long
                    latest = max(latest, loop.time() - read_at)
                    if not received or app.gone.is_set():
                        assert latest >= seconds
                        return False
                await ended.wait()
            assert app.sent.is_set() == reads
    return True


async def test_what_is_refused_before_it_can_be_read_is_counted(http: httpx.AsyncClient) -> None:
    before = counted("unread", 400), refusals("malformed_request")
    reader, writer = await connect(http)
    writer.write(b"what is this\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    now = counted("unread", 400), refusals("malformed_request")
    assert now == (before[0] + 1, before[1] + 1)
    labels = {"route": "unread", "status": "400"}
    took = REGISTRY.get_sample_value("atelier_http_request_seconds_sum", labels)
    assert took is not None
    assert 0 < took < 60
