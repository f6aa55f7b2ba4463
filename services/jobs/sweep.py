"""What nobody else ends: silent workers, submissions left half way, old events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from kit.crash import crash_point
from kit.database import Database
from kit.identity import system
from kit.sweeper import Sweep
from services.jobs.config import JobsSettings
from services.jobs.live import store as live
from services.jobs.live.watch import Doorbells
from services.jobs.queue import service as queue
from services.jobs.submission import store as submissions
from services.jobs.submission.drive import Driver

log = logging.getLogger(__name__)

# Driving waits for other services: few at a time, so that none is taken over while it waits.
DRIVEN_BATCH_MAX = 10
EVENTS_KEPT_SECONDS = 3_600.0
EVENTS_BATCH_MAX = 500


def sweeps(
    database: Database, driver: Driver, doorbells: Doorbells, settings: JobsSettings
) -> Mapping[str, Sweep]:
    """Returns the sweeps of jobs by name."""
    house = system(database.role)

    async def leases() -> int:
        expired = await database.write(house, queue.expire_next)
        if expired is None:
            return 0
        crash_point("sweep.lease_ended")
        log.warning("a lease ended", extra={"item": str(expired.item_id)})
        await doorbells.ring(expired.job_id)
        return 1

    async def submissions_left() -> int:
        left = await database.write(
            house,
            submissions.take_undriven,
            settings.drive_seconds,
            settings.created_seconds_max,
            DRIVEN_BATCH_MAX,
        )
        if left:
            crash_point("sweep.taken_over")
        await asyncio.gather(*(driver.resume(job["id"], is_last=job["is_last"]) for job in left))
        return len(left)

    async def events() -> int:
        return await database.write(house, live.sweep, EVENTS_KEPT_SECONDS, EVENTS_BATCH_MAX)

    return {"leases": leases, "submissions": submissions_left, "job_events": events}
