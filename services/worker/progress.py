"""Progress of one item: the latest counts, few reports, and none of a step's beginning is lost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Self

import grpc

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.2
PERCENT_MAX = 99  # 100 is said by the end of the item alone
PREVIEW_BYTES_MAX = 32 << 10


@dataclass(frozen=True)
class Update:
    """How far an item is.

    Attributes:
        percent: 0 to 99.
        step: The step that runs.
        preview: A JPEG of at most 32 KiB, or empty.
    """

    percent: int
    step: str
    preview: bytes = b""


class Progress:
    """Sends updates one at a time, at most every 200 ms, at once where the step changes."""

    def __init__(self, send: Callable[[Update], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: deque[Update] = deque()  # one per step: bounded by the graph's nodes
        self._news = asyncio.Event()
        self._step_changed = asyncio.Event()
        self._latest = Update(0, "")
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sender = asyncio.create_task(self._run(), name="progress")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._sender:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    def report(self, share: float, step: str, preview: bytes = b"") -> None:
        """Notes how far the item is; never waits.

        Args:
            share: Of the whole item, 0 to 1; it never goes back.
            step: The step that runs.
            preview: A JPEG; one that is too large is left out.
        """
        percent = max(min(int(share * 100), PERCENT_MAX), self._latest.percent)
        shown = preview if len(preview) <= PREVIEW_BYTES_MAX else b""
        update = Update(percent, step, shown)
        if step != self._latest.step:
            self._step_changed.set()
        self._latest = update
        if self._waiting and self._waiting[-1].step == step:
            newest = self._waiting.pop()
            update = replace(update, preview=shown or newest.preview)
        self._waiting.append(update)
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            update = self._waiting.popleft()
            if not self._waiting:
                self._news.clear()
                self._step_changed.clear()
            try:
                await self._send(update)
            except grpc.aio.AioRpcError as error:
                log.debug("progress was not taken", extra={"error": error.code().name})
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(INTERVAL_SECONDS):
                await self._step_changed.wait()
        except TimeoutError:
            pass
