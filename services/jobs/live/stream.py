"""Streams of a job's events: read from the database, woken by doorbells."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from atelier.jobs.v1 import jobs_pb2 as pb

from kit.bus import Bus
from kit.database import Database
from kit.identity import Identity
from services.jobs.domain import FINAL, EventsGone
from services.jobs.live import store
from services.jobs.submission import service as submissions

BATCH_MAX = 100
LOOK_SECONDS = 1.0
_SUBJECT = "job.events."


class Doorbells:
    """Wakes streams of jobs; a ring may be lost, since every stream also looks by itself."""

    subject = _SUBJECT + "*"

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    def rung(self, subject: str, _: bytes) -> None:
        """Wakes the streams of the job that a doorbell names."""
        for event in self._waiting.get(subject.removeprefix(_SUBJECT), ()):
            event.set()

    async def ring(self, job_id: uuid.UUID) -> None:
        """Wakes the streams of a job in every replica."""
        await self._bus.ring(f"{_SUBJECT}{job_id}")

    async def ring_cancel(self, item_id: uuid.UUID) -> None:
        """Tells the worker of an item at once that its owner canceled it."""
        await self._bus.ring(f"jobs.cancel.{item_id}")

    @contextmanager
    def bell(self, job_id: uuid.UUID) -> Iterator[asyncio.Event]:
        """Gives an event that is set whenever the job's doorbell rings."""
        event = asyncio.Event()
        key = str(job_id)
        self._waiting[key].add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]


async def follow(
    database: Database, doorbells: Doorbells, identity: Identity, job_id: uuid.UUID, after: int
) -> AsyncIterator[pb.JobEvent]:
    """Yields the events of a job of the caller's after a sequence, until the job is final.

    Raises:
        NotFound: The job is not the caller's.
        EventsGone: Older events are wanted than are kept.
    """
    seen = await database.read(identity, submissions.get, identity.user, job_id)
    with doorbells.bell(job_id) as bell:
        while True:
            bell.clear()
            events = await database.read(identity, store.after, job_id, after, BATCH_MAX)
            for raw in events:
                event = pb.JobEvent.FromString(raw)
                if event.sequence != after + 1:
                    raise EventsGone("these events are gone; read the job again")
                after = event.sequence
                yield event
                if event.type == "finished":
                    return
            if not events:
                if seen.job["state"] in FINAL:
                    _check_complete(int(seen.job["sequence"]), after)
                    return
                await _wait(bell)
                seen = await database.read(identity, submissions.get, identity.user, job_id)


def _check_complete(newest: int, after: int) -> None:
    if newest > after:
        raise EventsGone("these events are gone; read the job again")


async def _wait(bell: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await bell.wait()
    except TimeoutError:
        pass
