"""An engine is ready when a real request has passed through it: one rule, whatever the engine does.

Whoever cannot be reached is waited for; whoever answers and fails is started anew. A request that
failed later is a reason to try again, and no more than that: the trial decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

from inference.engine.loop import LOAD_SECONDS_MAX
from kit.process import cancel

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# Of an engine that answers: one that hangs, or whose load does, no longer answers before that.
STILL_SECONDS_MAX = LOAD_SECONDS_MAX + 60.0
TRY_AGAIN_SECONDS, TRY_AGAIN_SECONDS_MAX = 0.2, 30.0


class Proof(Enum):
    """What is known of an engine."""

    NONE = auto()  # no trial has ended yet
    PASSED = auto()
    FAILED = auto()


class Watched(Protocol):
    """An engine that can be tried."""

    async def look(self) -> object | None:
        """What becomes another while it goes on; None: it does not answer."""

    async def passes(self) -> bool:
        """Sends real requests through it; whether it is ready."""

    async def revive(self) -> bool:
        """Starts it anew; False: it could not be reached, so that it has to come back by itself."""


class Watch:
    """Knows whether an engine is ready, for as long as :meth:`run` runs.

    Args:
        engine: What is watched.
    """

    def __init__(self, engine: Watched) -> None:
        self._engine = engine
        self._doubted = asyncio.Event()
        self.proof = Proof.NONE

    def doubt(self) -> None:
        """Has it tried, because a real request has just failed."""
        self._doubted.set()

    async def run(self, on_change: Callable[[bool], Awaitable[None]]) -> None:
        """Watches until it is cancelled.

        Args:
            on_change: Told True when the engine is ready and False when it no longer is.
        """
        while True:
            await self._until_ready()
            await on_change(True)
            await self._while_ready()
            self.proof = Proof.FAILED
            await on_change(False)
            await self._engine.revive()

    async def _until_ready(self) -> None:
        """Returns when a trial has passed; who fails is started anew, more and more seldom."""
        pause = TRY_AGAIN_SECONDS
        while not await self._tried():
            revived = await self._engine.revive()
            pause = min(2 * pause, TRY_AGAIN_SECONDS_MAX) if revived else TRY_AGAIN_SECONDS
            await asyncio.sleep(pause)

    async def _while_ready(self) -> None:
        """Returns when the engine does not answer, or fails a trial."""
        while await self._looked() is not None:
            if self._doubted.is_set():
                if not await self._tried():
                    return
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._doubted.wait(), LOOK_SECONDS)

    async def _looked(self) -> object | None:
        """What the engine says, asked once more where it does not answer.

        To start it anew costs every row in flight, and on a busy machine one ping may be late.
        """
        seen = await self._engine.look()
        return seen if seen is not None else await self._engine.look()

    async def _tried(self) -> bool:
        """Tries the engine where it answers; whether it passed."""
        seen = await self._engine.look()
        if seen is None:
            return False
        self._doubted.clear()
        passed = await self._trial(seen)
        self.proof = Proof.PASSED if passed else Proof.FAILED
        return passed

    async def _trial(self, seen: object) -> bool:
        """Has a trial made and asks meanwhile whether the engine lives.

        A trial may wait in line behind others for as long as the engine goes on.
        """
        clock = asyncio.get_running_loop().time
        trial, moved_at = asyncio.create_task(self._engine.passes()), clock()
        try:
            while clock() - moved_at < STILL_SECONDS_MAX:
                await asyncio.wait({trial}, timeout=LOOK_SECONDS)
                if trial.done():
                    return trial.result()
                last, seen = seen, await self._looked()
                if seen is None:
                    return False
                if seen != last:
                    moved_at = clock()
            log.warning("a trial was not answered", extra={"seconds": STILL_SECONDS_MAX})
            return False
        finally:
            await cancel(trial)
