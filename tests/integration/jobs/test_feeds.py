"""A user's feed: the events of all jobs in one order, without gaps, read as they become visible."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from atelier.jobs.v1 import jobs_pb2 as pb

from kit.bus import Bus
from kit.database import Database, ReadSession
from kit.identity import Identity, Kind, system
from services.jobs.domain import EventsGone, State
from services.jobs.live import store
from services.jobs.live.record import record
from services.jobs.live.stream import follow_batch, follow_user
from services.jobs.live.watch import Doorbells
from services.jobs.queue import service as queue
from services.jobs.submission import service as submissions_service
from services.jobs.submission import store as submissions
from services.jobs.submission.domain import NewJob
from tests.conftest import Installation
from tests.integration.jobs.test_queue import (
    DELIVERY,
    OVER,
    claim,
    enqueue,
    lease_of,
    limit,
    new_job,
    queue_job,
)

HOUSE = system("jobs")
JOBS, EVENTS = 4, 10


async def happen(database: Database, job_id: uuid.UUID) -> None:
    async def write(session: object) -> None:
        await submissions.lock_job(session, job_id)  # type: ignore[arg-type]
        await record(session, job_id, "progress", State.RUNNING)  # type: ignore[arg-type]

    await database.write(HOUSE, write)


@pytest.fixture
async def doorbells(data_stores: Installation, database: Database) -> AsyncIterator[Doorbells]:
    """Doorbells that nobody rings: what is seen was looked for."""
    async with Bus(f"nats://{data_stores.layout.address('nats')}", "jobs") as bus:
        bells = Doorbells(bus, database)
        watching = asyncio.create_task(bells.watch())
        yield bells
        watching.cancel()


async def test_places_of_a_feed_are_gapless_under_concurrency(
    database: Database, doorbells: Doorbells
) -> None:
    user = uuid.uuid4()
    caller = Identity(Kind.MEMBER, user)
    jobs = [await queue_job(database, user=user) for _ in range(JOBS)]
    await queue_job(database, user=uuid.uuid4())
    total = JOBS * (EVENTS + 1)
    stream = follow_user(database, doorbells, caller, 0)

    async def read() -> list[pb.JobEvent]:
        seen: list[pb.JobEvent] = []
        async with aclosing(stream):  # type: ignore[type-var]
            async for event in stream:
                seen.append(event)
                if event.feed_sequence == total:
                    break
        return seen

    reading = asyncio.create_task(read())
    await asyncio.gather(*(happen(database, job.id) for job in jobs for _ in range(EVENTS)))
    seen = (await asyncio.wait_for(reading, 60))[1:]
    assert [event.feed_sequence for event in seen] == list(range(1, total + 1))
    for job in jobs:
        own = [event for event in seen if event.job_id == str(job.id)]
        assert [event.sequence for event in own] == list(range(1, EVENTS + 2))
        assert {event.batch_id for event in own} == {str(job.batch_id)}


async def test_a_feed_whose_events_were_swept_says_so(
    database: Database, doorbells: Doorbells
) -> None:
    user = uuid.uuid4()
    caller = Identity(Kind.MEMBER, user)
    job = await queue_job(database, user=user)
    await happen(database, job.id)

    async def forget(session: ReadSession) -> None:
        await session.all("DELETE FROM job_event WHERE sequence = 1 RETURNING 1")

    await database.write(HOUSE, forget)
    stream = follow_user(database, doorbells, caller, 0)
    assert (await anext(stream)).type == "open"
    with pytest.raises(EventsGone):
        await anext(stream)


async def batch_of_two(database: Database) -> tuple[Identity, NewJob, NewJob]:
    """Two jobs of one batch, of which the first has been delivered."""
    user = uuid.uuid4()
    done = new_job(user=user)
    running = replace(new_job(user=user), batch_id=done.batch_id)
    await limit(database, "eats", 9)
    await enqueue(database, done)
    [row] = await claim(database)
    await enqueue(database, running)
    await database.write(HOUSE, queue.deliver, lease_of(row), DELIVERY)
    await happen(database, running.id)
    return Identity(Kind.MEMBER, user), done, running


async def read_batch(
    database: Database, doorbells: Doorbells, caller: Identity, job: NewJob, after: int
) -> list[pb.JobEvent]:
    stream = follow_batch(database, doorbells, caller, job.batch_id, after)
    return [event async for event in stream][1:]


async def test_a_batch_of_which_a_jobs_events_were_swept_says_so_also_to_who_goes_on(
    database: Database, doorbells: Doorbells
) -> None:
    caller, done, running = await batch_of_two(database)
    last = await last_place(database, done)
    await database.write(HOUSE, store.sweep, OVER, 100)
    for after in (0, last - 1):  # the other job's events are kept
        with pytest.raises(EventsGone):
            await read_batch(database, doorbells, caller, done, after)
    await database.write(HOUSE, submissions_service.cancel, running.user_id, running.id)
    rest = await read_batch(database, doorbells, caller, done, last)
    assert {event.job_id for event in rest} == {str(running.id)}


async def test_who_has_seen_all_of_a_batch_is_told_nothing_after_it_was_swept(
    database: Database, doorbells: Doorbells
) -> None:
    caller, done, running = await batch_of_two(database)
    await database.write(HOUSE, submissions_service.cancel, running.user_id, running.id)
    seen = await read_batch(database, doorbells, caller, done, 0)
    last = seen[-1].feed_sequence
    await database.write(HOUSE, store.sweep, OVER, 100)
    assert await read_batch(database, doorbells, caller, done, last) == []
    with pytest.raises(EventsGone):
        await read_batch(database, doorbells, caller, done, last - 1)


async def last_place(database: Database, job: NewJob) -> int:
    """Where the newest event of a job stands."""
    events = await database.read(HOUSE, store.after, job.id, 0, 100)
    return max(pb.JobEvent.FromString(raw).feed_sequence for raw in events)


async def test_idle_streams_do_not_ask_the_database_each_for_itself(
    database: Database, doorbells: Doorbells, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = store.feed_sequence

    async def counted(session: ReadSession, user_id: uuid.UUID) -> int:
        nonlocal looks
        looks += 1
        return await look(session, user_id)

    monkeypatch.setattr(store, "feed_sequence", counted)
    users = [uuid.uuid4() for _ in range(20)]
    streams = [follow_user(database, doorbells, Identity(Kind.MEMBER, u), None) for u in users]
    for stream in streams:
        await anext(stream)
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    job = await queue_job(database, user=users[0])
    event = await asyncio.wait_for(waiting[0], 60)
    assert event.job_id == str(job.id)
    before = looks
    await happen(database, job.id)
    await asyncio.wait_for(anext(streams[0]), 60)  # a second or so later
    assert looks - before <= 2, "only the one for whom something happened looks"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
