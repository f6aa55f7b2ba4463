"""What calls with pictures hold is bounded, from the first file that is read until they end."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from PIL import Image

from inference.api import asking, segmenting
from inference.api.asking import READING_MAX, Asking
from inference.api.budget import Budget
from inference.api.errors import Overloaded
from inference.api.keeping import Keeping
from inference.api.objects import Objects
from inference.api.segmenting import WRITES_MAX, Segmentations
from inference.engine.errors import InvalidRequest
from inference.engine.material import PICTURE_PIXELS_MAX, Pixels
from inference.engine.pictures.masks import Mask, Runs

SIDE = 32
LARGEST_BYTES = 3 * PICTURE_PIXELS_MAX
HELD_BYTES = 3 * SIDE * SIDE


def _file() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(out, "PNG")
    return out.getvalue()


class Shelf:
    """A storage of one picture, which counts what is read and takes whatever is written."""

    def __init__(self) -> None:
        self.reads = 0
        self.file = _file()

    async def read(self, key: str, field: str) -> bytes:
        self.reads += 1
        return self.file

    async def write(self, key: str, data: bytes, content_type: str) -> None:
        pass


class Stuck:
    """Work on threads that is done when the test says so, and how much of it went on at once."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.free = threading.Event()
        self.most = self._now = 0
        self._lock = threading.Lock()

    def work(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.begun.release()
        assert self.free.wait(60)
        with self._lock:
            self._now -= 1

    async def wait_begun(self, times: int) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.begun.acquire, timeout=60)


class Ground:
    """One who asks, with memory for two of the largest pictures."""

    def __init__(self) -> None:
        self.shelf, self.budget = Shelf(), Budget(2 * LARGEST_BYTES)
        self.asking = Asking(cast("Objects", self.shelf), cast("Keeping", None), self.budget)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    made = Ground()
    async with made.asking:
        yield made


def asked(**said: Any) -> pb.GenerateImageRequest:
    return pb.GenerateImageRequest(**({"prompt": "a red mug", "image_key": "a.png"} | said))


async def _give_up(tasks: list[asyncio.Task[None]]) -> None:
    """Cancels tasks, and returns when all have heard of it."""
    for task in tasks:
        task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_pictures_count_until_the_call_ends(ground: Ground) -> None:
    async with ground.asking.request(asked()) as request:
        assert request.image is not None
        assert ground.budget.bytes_free == ground.budget.bytes_max - HELD_BYTES
    assert ground.budget.bytes_free == ground.budget.bytes_max


async def test_a_call_for_which_there_is_no_memory_is_told_to_come_back_unread(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "WAIT_SECONDS_MAX", 0.0)
    largest = Pixels(2048, 2048, 3, bytes(LARGEST_BYTES))
    monkeypatch.setattr(asking, "read", Mock(return_value=largest))
    async with AsyncExitStack() as calls:
        for _ in range(2):
            await calls.enter_async_context(ground.asking.request(asked()))
        with pytest.raises(Overloaded) as refused:
            await calls.enter_async_context(ground.asking.request(asked()))
        async with ground.asking.request(asked(image_key="")) as words:
            assert words.image is None
    assert refused.value.retry_after_seconds == 1.0
    assert ground.shelf.reads == 2
    assert ground.budget.bytes_free == ground.budget.bytes_max


async def test_pictures_of_a_call_that_fails_are_free_at_once(ground: Ground) -> None:
    ground.shelf.file = b"no picture"
    with pytest.raises(InvalidRequest):
        async with ground.asking.request(asked()):
            pass
    assert ground.budget.bytes_free == ground.budget.bytes_max


async def test_more_drawings_than_a_picture_may_follow_are_refused_unread(ground: Ground) -> None:
    control = pb.Control(kind=pb.CONTROL_KIND_CANNY, image_key="a.png")
    with pytest.raises(InvalidRequest) as refused:
        async with ground.asking.request(asked(controls=[control] * 3)):
            pass
    assert refused.value.field == "controls"
    assert ground.shelf.reads == 0


async def test_pictures_that_nobody_waits_for_any_more_count_until_they_are_read(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = Stuck()

    def read(file: bytes, grey: bool) -> Pixels:
        stuck.work()
        return Pixels(SIDE, SIDE, 3, bytes(HELD_BYTES))

    async def call() -> None:
        async with ground.asking.request(asked()):
            pass

    monkeypatch.setattr(asking, "read", read)
    ground.budget.give_back(100 * LARGEST_BYTES)  # it is not that which is tried here
    left = [asyncio.create_task(call()) for _ in range(READING_MAX)]
    await stuck.wait_begun(READING_MAX)
    await _give_up(left)
    others = [asyncio.create_task(call()) for _ in range(3)]
    assert not any(task.done() for task in left)
    stuck.free.set()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.gather(*others)
    assert stuck.most == READING_MAX


async def test_masks_that_nobody_waits_for_any_more_count_until_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = Stuck()

    def to_png(mask: Mask) -> bytes:
        stuck.work()
        return b""

    monkeypatch.setattr(segmenting, "to_png", to_png)
    given: Any = None
    async with Segmentations(given, given, given, given) as segmentations:
        runs = Runs.of(Mask.of(np.ones((2, 2), np.uint8)))

        async def write(files: int) -> None:
            shelf = cast("Objects", Shelf())
            masks = segmenting._Masks(shelf, segmentations._writes, "tmp/", instance_files=True)
            masks._files = [(f"tmp/{at}.png", runs) for at in range(files)]
            await masks.written()

        left = [asyncio.create_task(write(WRITES_MAX))]
        await stuck.wait_begun(WRITES_MAX)
        await _give_up(left)
        other = asyncio.create_task(write(3))
        assert not left[0].done()
        stuck.free.set()
        await asyncio.gather(*left, return_exceptions=True)
        await other
    assert stuck.most == WRITES_MAX
