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
TEXT_LENGTH_MAX = 4_000  # in one update; the rest follows with the next


@dataclass(frozen=True)
class Update:
    """How far an item is.

    Attributes:
        percent: 0 to 99.
        step: The step that runs.
        preview: A JPEG of at most 32 KiB, or empty.
        text: What was written since the update before, at most 4,000 characters.
        text_at: Where that begins in all that this attempt has written, in characters.
    """

    percent: int
    step: str
    preview: bytes = b""
    text: str = ""
    text_at: int = 0


class Progress:
    """Sends updates one at a time, at most every 200 ms, at once where the step changes."""

    def __init__(self, send: Callable[[Update], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: deque[Update] = deque()  # one per step: bounded by the graph's nodes
        self._news = asyncio.Event()
        self._step_changed = asyncio.Event()
        self._latest = Update(0, "")
        self._text = ""  # written and not yet taken; bounded by the answer
        self._text_at = 0
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

    def write(self, text: str) -> None:
        """Notes what the step writes; never waits. Nothing of it is left out."""
        self._text += text
        if not self._waiting:
            self._waiting.append(replace(self._latest, preview=b""))
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            again = replace(self._latest, preview=b"")
            update = self._waiting.popleft() if self._waiting else again
            text = self._text[:TEXT_LENGTH_MAX]
            update = replace(update, text=text, text_at=self._text_at if text else 0)
            if not self._waiting:
                self._news.clear()
                self._step_changed.clear()
            try:
                await self._send(update)
            except grpc.aio.AioRpcError as error:
                log.debug("progress was not taken", extra={"error": error.code().name})
            else:
                self._text, self._text_at = self._text[len(text) :], self._text_at + len(text)
            if self._text:
                self._news.set()
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(INTERVAL_SECONDS):
                await self._step_changed.wait()
        except TimeoutError:
            pass
