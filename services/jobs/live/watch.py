"""What wakes streams: doorbells, and one look at the database for all of them.

A ring may be lost. So that an idle stream costs no query of its own, one task asks every second for
the newest sequences of everything that is watched, and wakes who waits for what has moved.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from kit.bus import Bus
from kit.database import Database
from kit.errors import DomainError
from kit.identity import system
from services.jobs.live import store

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RUNG_MAX = 10_000
_SUBJECT = "job.events."


class Doorbells:
    """Wakes streams of jobs and of users' feeds.

    Args:
        bus: Carries the rings between replicas.
        database: Is asked what a lost ring would have said.
    """

    subject = _SUBJECT + "*"

    def __init__(self, bus: Bus, database: Database) -> None:
        self._bus = bus
        self._database = database
        self._house = system(database.role)
        self._jobs: dict[uuid.UUID, set[asyncio.Event]] = defaultdict(set)
        self._users: dict[uuid.UUID, set[asyncio.Event]] = defaultdict(set)
        self._newest: Mapping[uuid.UUID, int] = {}
        self._rung: set[uuid.UUID] = set()
        self._ring = asyncio.Event()

    def rung(self, subject: str, _: bytes) -> None:
        """Wakes the streams of the job that a doorbell names, and soon those of its owner."""
        job_id = uuid.UUID(subject.removeprefix(_SUBJECT))
        _wake(self._jobs, [job_id])
        if self._users and len(self._rung) < RUNG_MAX:
            self._rung.add(job_id)
            self._ring.set()

    async def ring(self, job_id: uuid.UUID) -> None:
        """Wakes the streams of a job in every replica."""
        await self._bus.ring(f"{_SUBJECT}{job_id}")

    async def ring_cancel(self, item_id: uuid.UUID) -> None:
        """Tells the worker of an item at once that its owner canceled it."""
        await self._bus.ring(f"jobs.cancel.{item_id}")

    @contextmanager
    def of_job(self, job_id: uuid.UUID) -> Iterator[asyncio.Event]:
        """Gives an event that is set whenever something happened to a job."""
        with _registered(self._jobs, job_id) as event:
            yield event

    @contextmanager
    def of_user(self, user_id: uuid.UUID) -> Iterator[asyncio.Event]:
        """Gives an event that is set whenever something happened to a job of a user's."""
        with _registered(self._users, user_id) as event:
            yield event

    async def watch(self) -> None:
        """Wakes feeds after rings, and looks for what was missed, for as long as it runs."""
        clock = asyncio.get_running_loop()
        look_at = clock.time()
        while True:
            try:
                async with asyncio.timeout_at(look_at):
                    await self._ring.wait()
            except TimeoutError:
                pass
            try:
                await self._wake_owners()
                if clock.time() >= look_at:
                    look_at = clock.time() + LOOK_SECONDS
                    await self._look()
            except DomainError as error:  # the database is away: the next look may reach it
                log.warning("streams were not looked after", extra={"reason": str(error)})

    async def _wake_owners(self) -> None:
        self._ring.clear()
        rung, self._rung = self._rung, set()
        if rung:
            _wake(self._users, await self._database.read(self._house, store.owners, rung))

    async def _look(self) -> None:
        if not (self._jobs or self._users):
            self._newest = {}
            return
        newest = await self._database.read(
            self._house, store.newest, list(self._jobs), list(self._users)
        )
        moved = [key for key, at in newest.items() if self._newest.get(key) != at]
        self._newest = newest
        _wake(self._jobs, moved)
        _wake(self._users, moved)


def _wake(waiting: Mapping[uuid.UUID, set[asyncio.Event]], keys: Collection[uuid.UUID]) -> None:
    for key in keys:
        for event in waiting.get(key, ()):
            event.set()


@contextmanager
def _registered(
    waiting: dict[uuid.UUID, set[asyncio.Event]], key: uuid.UUID
) -> Iterator[asyncio.Event]:
    event = asyncio.Event()
    waiting[key].add(event)
    try:
        yield event
    finally:
        waiting[key].discard(event)
        if not waiting[key]:
            del waiting[key]
