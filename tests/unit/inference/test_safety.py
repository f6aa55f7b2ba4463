"""The safety check: off, local, external, by one suite; and what becomes of rows behind each."""

from __future__ import annotations

import asyncio
import base64
import io
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inference.engine.errors import CheckFailed, ContentFiltered
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.safety.port import UNCHECKED, Verdict
from inference.engine.status import ModelStatus
from inference.safety.checked import Checked
from inference.safety.external import External

BRIGHT, DARK = (np.full((40, 56, 3), level, np.uint8) for level in (250, 5))


@dataclass
class Moderator:
    """A moderation service: refuses what is bright, or answers as a test wants."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Callable[[], Awaitable[Response]]] = field(default_factory=list)

    async def judge(self, request: Request) -> Response:
        said = await request.json()
        self.asked.append(said)
        if self.answers:
            return await self.answers.pop(0)()
        opened = Image.open(io.BytesIO(base64.b64decode(said["image"])))
        level = float(np.asarray(opened).mean()) / 255
        flags = ["bright"] if level > 0.5 else []
        return JSONResponse({"allowed": not flags, "score": 1 - level, "flags": flags})


@pytest.fixture
async def moderator() -> AsyncIterator[Moderator]:
    moderator = Moderator()
    app = Starlette(routes=[Route("/judge", moderator.judge, methods=["POST"])])
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    moderator.url = f"http://127.0.0.1:{listening.getsockname()[1]}/judge"
    yield moderator
    server.should_exit = True
    await serving


async def verdicts(
    check: str, found: dict[str, Any], moderator: Moderator
) -> tuple[Verdict, Verdict]:
    """Of a bright picture, which every check here refuses, and of a dark one."""
    if check == "external":
        async with External(moderator.url) as external:
            return await external.judge(BRIGHT, "a mug"), await external.judge(DARK, "a mug")
    bright, dark = (
        Verdict(**one | {"flags": tuple(one["flags"])}) for one in found["safety"][check]
    )
    return bright, dark


@pytest.mark.parametrize("check", ["local", "external"])
async def test_a_check_refuses_with_flags_and_a_low_score_and_allows_without(
    check: str, found: dict[str, Any], moderator: Moderator
) -> None:
    bright, dark = await verdicts(check, found, moderator)
    assert (bright.allowed, dark.allowed) == (False, True)
    assert bright.flags
    assert not dark.flags
    assert 0 <= bright.score < 0.5 < dark.score <= 1
    assert bright.check == dark.check == check


async def test_without_a_check_everything_is_allowed_and_nothing_said(
    found: dict[str, Any], moderator: Moderator
) -> None:
    assert await verdicts("off", found, moderator) == (UNCHECKED, UNCHECKED)


def test_a_row_behind_a_check_ends_by_its_verdict(found: dict[str, Any]) -> None:
    assert found["safety"]["rows_off"] == ["", ""]
    assert found["safety"]["rows_refused"] == ["CONTENT_FILTERED"] * 2


def test_a_check_without_a_verdict_fails_the_row_by_a_reason_of_its_own(
    found: dict[str, Any],
) -> None:
    assert found["safety"]["broken"] == "CHECK_FAILED"
    assert found["safety"]["rows_unchecked"] == ["CHECK_FAILED"] * 2
    assert found["safety"]["rows_crashed"] == ["CHECK_FAILED"] * 2
    assert found["safety"]["rows_nan"] == ["CHECK_FAILED"] * 2


async def _never() -> Response:
    await asyncio.Event().wait()
    return JSONResponse({})


async def _refusing() -> Response:
    return Response(status_code=503)


async def _nonsense() -> Response:
    return JSONResponse({"allowed": "perhaps"})


@pytest.mark.parametrize("answer", [_never, _refusing, _nonsense])
async def test_an_external_check_that_gives_no_verdict_is_a_failed_check(
    answer: Callable[[], Awaitable[Response]], moderator: Moderator
) -> None:
    moderator.answers = [answer] * 2
    async with External(moderator.url, answer_seconds=0.2) as external:
        with pytest.raises(CheckFailed):
            await external.judge(DARK, "a mug")


async def test_an_external_check_that_stumbles_once_is_asked_again(moderator: Moderator) -> None:
    moderator.answers = [_refusing]
    async with External(moderator.url) as external:
        assert (await external.judge(DARK, "a mug")).allowed
    assert [one["prompt"] for one in moderator.asked] == ["a mug", "a mug"]


@pytest.mark.parametrize("part", [b" ", b" " * 65_536], ids=["drips", "floods"])
async def test_an_answer_without_an_end_is_a_failed_check(part: bytes) -> None:
    """A server that sends parts until the client leaves: a byte now and then, or all it can."""
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            sent += len(part)
            await asyncio.sleep(0.01)
            with suppress(ConnectionError):
                await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with External(url, answer_seconds=0.2) as external, asyncio.timeout(30):
            with pytest.raises(CheckFailed, match=r"too long|TimeoutError"):
                await external.judge(DARK, "a mug")
    assert sent < 16 << 20


async def test_an_external_check_that_is_away_is_a_failed_check() -> None:
    async with External("http://127.0.0.1:9/") as external:
        with pytest.raises(CheckFailed):
            await external.judge(DARK, "a mug")


class Drawn:
    """An engine that draws one picture."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels

    async def models(self) -> dict[str, ModelStatus] | None:
        return {}

    async def revive(self) -> bool:
        return False

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        yield Progress(1, 1, b"small" if request.previews else b"")
        yield Picture(self._pixels, "sdxl", 0, 1, 1.0, 0.0)


async def test_a_picture_that_the_external_check_refuses_never_leaves_the_engine(
    moderator: Moderator,
) -> None:
    async with External(moderator.url) as external:
        asked = ImageRequest("a mug", previews=True)
        allowed = Checked(Drawn(DARK), external).sample(asked)
        assert await anext(allowed) == Progress(1, 1)
        picture = await anext(allowed)
        refused = Checked(Drawn(BRIGHT), external).sample(ImageRequest("a mug"))
        assert await anext(refused) == Progress(1, 1)
        with pytest.raises(ContentFiltered, match="bright"):
            await anext(refused)
    assert isinstance(picture, Picture)
    assert picture.verdict.check == "external"
