"""What nobody else ends: silent workers, submissions left half way, old events."""

from __future__ import annotations

import asyncio
import logging

from kit.database import Database
from kit.identity import system
from services.jobs.live import store as live
from services.jobs.live.stream import Doorbells
from services.jobs.queue import service as queue
from services.jobs.queue import store as items
from services.jobs.queue.store import Lease
from services.jobs.submission import store as submissions
from services.jobs.submission.drive import Driver

log = logging.getLogger(__name__)

BATCH_MAX = 100
EVENTS_KEPT_SECONDS = 3_600.0


class Sweeper:
    """Sweeps until cancelled; two at once do no harm, since every sweep is guarded."""

    def __init__(
        self, database: Database, driver: Driver, doorbells: Doorbells, every_seconds: float
    ) -> None:
        self._database = database
        self._driver = driver
        self._doorbells = doorbells
        self._every_seconds = every_seconds
        self._house = system(database.role)

    async def run(self) -> None:
        """Sweeps every few seconds."""
        while True:
            for sweep in (self._leases, self._submissions, self._events):
                try:
                    await sweep()
                except Exception:
                    log.exception("sweeping failed; it goes on", extra={"sweep": sweep.__name__})
            await asyncio.sleep(self._every_seconds)

    async def _leases(self) -> None:
        for row in await self._database.read(self._house, items.expired, BATCH_MAX):
            lease = Lease(row["id"], row["token"])
            if await self._database.write(self._house, queue.expire, row["job_id"], lease):
                log.warning("a lease ended", extra={"item": str(row["id"])})
                await self._doorbells.ring(row["job_id"])

    async def _submissions(self) -> None:
        for job_id in await self._database.read(self._house, submissions.undriven, BATCH_MAX):
            await self._driver.resume(job_id)

    async def _events(self) -> None:
        await self._database.write(self._house, live.sweep, EVENTS_KEPT_SECONDS)
