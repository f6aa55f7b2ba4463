"""Streams of events: read from the database, woken by doorbells."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

from atelier.jobs.v1 import jobs_pb2 as pb

from kit.database import Database, ReadSession, Row
from kit.errors import NotFound
from kit.identity import Identity
from kit.rows import timestamp
from services.jobs.domain import FINAL, EventsGone
from services.jobs.live import store
from services.jobs.live.watch import Doorbells
from services.jobs.submission import service as submissions

BATCH_MAX = 100
# Doorbells look for what was missed every second; this is for what they would miss themselves.
LOOK_SECONDS = 30.0


async def follow(
    database: Database, doorbells: Doorbells, identity: Identity, job_id: uuid.UUID, after: int
) -> AsyncIterator[pb.JobEvent]:
    """Yields the events of a job of the caller's after a sequence, until the job is final.

    Raises:
        NotFound: The job is not the caller's.
        EventsGone: Older events are wanted than are kept.
    """
    seen = await database.read(identity, submissions.get, identity.user, job_id)
    with doorbells.of_job(job_id) as bell:
        while True:
            bell.clear()
            events = await database.read(identity, store.after, job_id, after, BATCH_MAX)
            for raw in events:
                event = pb.JobEvent.FromString(raw)
                if event.sequence != after + 1:
                    raise _gone()
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


async def follow_user(
    database: Database, doorbells: Doorbells, identity: Identity, after: int | None
) -> AsyncIterator[pb.JobEvent]:
    """Yields the events of all jobs of the caller's after a place of the feed, without end.

    The first event is of the type ``open`` and says where the stream begins: there, or for None
    now.

    Raises:
        EventsGone: Older events are wanted than are kept.
    """
    user_id = identity.user
    if after is None:
        after = await database.read(identity, store.feed_sequence, user_id)
    yield await database.read(identity, _opened, after)
    with doorbells.of_user(user_id) as bell:
        while True:
            bell.clear()
            newest = await database.read(identity, store.feed_sequence, user_id)
            events = await database.read(identity, store.feed_after, user_id, after, BATCH_MAX)
            if not events:
                _check_complete(newest, after)
                await _wait(bell)
            for raw in events:
                event = pb.JobEvent.FromString(raw)
                if event.feed_sequence != after + 1:
                    raise _gone()
                after = event.feed_sequence
                yield event


async def follow_batch(
    database: Database, doorbells: Doorbells, identity: Identity, batch_id: uuid.UUID, after: int
) -> AsyncIterator[pb.JobEvent]:
    """Yields the events of a batch's jobs after a place of the feed, until all are final.

    The first event is of the type ``open`` and says where the stream begins.

    Raises:
        NotFound: The batch is not the caller's.
        EventsGone: The events are not kept any more.
    """
    user_id = identity.user
    jobs = await jobs_of_batch(database, identity, batch_id)
    resumed, seen_any = after > 0, False
    yield await database.read(identity, _opened, after)
    with doorbells.of_user(user_id) as bell:
        while True:
            bell.clear()
            jobs = await jobs_of_batch(database, identity, batch_id)
            ids = [row["id"] for row in jobs]
            events = await database.read(identity, store.batch_after, ids, after, BATCH_MAX)
            # Asked afterwards: what is kept now was kept when the events were read.
            if await database.read(identity, store.has_lost, ids, after):
                raise _gone()
            for raw in events:
                event = pb.JobEvent.FromString(raw)
                after, seen_any = event.feed_sequence, True
                yield event
            if events:
                continue
            if all(row["state"] in FINAL for row in jobs):
                if not (resumed or seen_any):
                    raise _gone()
                return
            await _wait(bell)


async def jobs_of_batch(
    database: Database, identity: Identity, batch_id: uuid.UUID
) -> Sequence[Row]:
    """Returns the jobs of a batch of the caller's.

    Raises:
        NotFound: The batch is not the caller's.
    """
    jobs = await database.read(identity, store.jobs_of_batch, identity.user, batch_id)
    if not jobs:
        raise NotFound("there is no such batch")
    return jobs


async def _opened(session: ReadSession, after: int) -> pb.JobEvent:
    return pb.JobEvent(type="open", feed_sequence=after, created_at=timestamp(await session.now()))


def _gone() -> EventsGone:
    return EventsGone("these events are gone; read the state anew")


def _check_complete(newest: int, after: int) -> None:
    if newest > after:
        raise _gone()


async def _wait(bell: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await bell.wait()
    except TimeoutError:
        pass
