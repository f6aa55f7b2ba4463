"""Pictures inside an answer, read from a storage over HTTP."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from atelier.works.v1 import works_pb2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.openai.faults import Fault
from gateway.openai.pictures import ANSWERS_MAX, PICTURE_BYTES_MAX, Encoded, Storage
from tests.studio import eventually

PICTURE = bytes(range(256)) * 1_000  # no multiple of three, and more than one piece


@dataclass
class Shelf:
    """A storage with one picture, which it gives while it likes to."""

    hosts: list[str] = field(default_factory=list)
    status: int = 200
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    inside: int = 0
    most_inside: int = 0
    url: str = ""

    async def get(self, request: Request) -> Response:
        assert request.url.query == "signature=1"
        self.hosts.append(request.headers["host"])
        if self.status != 200:
            return Response(status_code=self.status)
        return StreamingResponse(self._read())

    async def _read(self) -> AsyncIterator[bytes]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        yield PICTURE[:1_000]
        await self.gate.wait()
        yield PICTURE[1_000:]
        self.inside -= 1


@asynccontextmanager
async def served(shelf: Shelf) -> AsyncIterator[None]:
    app = Starlette(routes=[Route("/bucket/picture.jpg", shelf.get)])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        shelf.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(trust_env=False, timeout=60) as probe:

            async def answers() -> bool:
                try:
                    await probe.get(shelf.url)
                except httpx.TransportError:
                    return False
                return True

            await eventually(answers)
        try:
            yield
        finally:
            shelf.gate.set()
            server.should_exit = True
            await serving


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    made = Shelf()
    async with served(made):
        yield made


@pytest.fixture
async def storage(shelf: Shelf) -> AsyncIterator[Storage]:
    async with Storage(shelf.url) as opened:
        yield opened


def address(size_bytes: int = len(PICTURE)) -> works_pb2.Download:
    url = "https://objects.example.org/bucket/picture.jpg?signature=1"
    return works_pb2.Download(url=url, size_bytes=size_bytes)


async def sent(answer: Encoded) -> tuple[int, bytes, int]:
    """Returns the status, the body, and the length of its longest piece."""
    messages: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    await answer({"type": "http"}, receive, send)
    bodies = [each["body"] for each in messages[1:]]
    return messages[0]["status"], b"".join(bodies), max(map(len, bodies))


async def test_a_picture_is_sent_on_in_pieces_and_whole(shelf: Shelf, storage: Storage) -> None:
    shelf.gate.set()
    answer = Encoded(storage, 7, [(address(), "a mug"), (address(), 'a "cup"')])
    status, body, longest = await sent(answer)
    document = orjson.loads(body)
    assert (status, document["created"]) == (200, 7)
    assert [base64.b64decode(each["b64_json"]) for each in document["data"]] == [PICTURE] * 2
    assert [each["revised_prompt"] for each in document["data"]] == ["a mug", 'a "cup"']
    assert longest <= 64 << 10
    assert set(shelf.hosts) == {"objects.example.org"}, "the signature is for this host"


async def test_a_few_answers_carry_pictures_at_once_and_the_others_wait(
    shelf: Shelf, storage: Storage
) -> None:
    answers = [
        asyncio.create_task(sent(Encoded(storage, 0, [(address(), "")])))
        for _ in range(ANSWERS_MAX + 3)
    ]

    async def as_many_as_may() -> bool:
        return shelf.inside >= ANSWERS_MAX

    await eventually(as_many_as_may)
    shelf.gate.set()
    await asyncio.gather(*answers)
    assert shelf.most_inside == ANSWERS_MAX


async def test_a_storage_that_refuses_or_is_away_is_an_answer_of_its_own(
    shelf: Shelf, storage: Storage
) -> None:
    shelf.status = 403
    status, body, _ = await sent(Encoded(storage, 0, [(address(), "")]))
    assert (status, orjson.loads(body)["error"]["type"]) == (503, "server_error")
    async with Storage("http://127.0.0.1:9") as away:
        status, _, _ = await sent(Encoded(away, 0, [(address(), "")]))
    assert status == 503


async def test_a_picture_that_is_too_large_is_not_carried(shelf: Shelf, storage: Storage) -> None:
    large = address(PICTURE_BYTES_MAX + 1)
    status, _, _ = await sent(Encoded(storage, 0, [(large, "")]))
    assert status == 500
    assert shelf.hosts == []


async def test_where_no_storage_is_known_bytes_are_refused_at_once() -> None:
    async with Storage("") as nowhere:
        with pytest.raises(Fault) as refused:
            nowhere.check()
    assert refused.value.param == "response_format"
