"""Sweepers end what nobody else ends; two at once do no harm, since each takes rows of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from kit.metrics import SWEEP_FAILURES, SWEPT

log = logging.getLogger(__name__)

ROUNDS_MAX = 100

Sweep = Callable[[], Awaitable[int]]


class Sweeper:
    """Runs sweeps every few seconds.

    Args:
        sweeps: By name, as metrics show it. Each handles one batch, whose rows it takes with
            ``FOR UPDATE SKIP LOCKED`` or by a guarded statement, and returns how many there were.
        every_seconds: The pause between two rounds.
    """

    def __init__(self, sweeps: Mapping[str, Sweep], every_seconds: float) -> None:
        self._sweeps = sweeps
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Sweeps until cancelled; a sweep that fails is tried again in the next round.

        Each has rounds of its own: driving submissions on waits for other services, and leases
        must end meanwhile.
        """
        async with asyncio.TaskGroup() as sweeping:
            for name, sweep in self._sweeps.items():
                sweeping.create_task(self._repeat(name, sweep), name=f"sweep {name}")

    async def _repeat(self, name: str, sweep: Sweep) -> None:
        while True:
            try:
                await _drain(name, sweep)
            except Exception:
                SWEEP_FAILURES.labels(name).inc()
                log.exception("sweeping failed; it goes on", extra={"sweep": name})
            await asyncio.sleep(self._every_seconds)


async def _drain(name: str, sweep: Sweep) -> None:
    for _ in range(ROUNDS_MAX):
        swept = await sweep()
        if not swept:
            return
        SWEPT.labels(name).inc(swept)
        log.info("swept", extra={"sweep": name, "count": swept})
