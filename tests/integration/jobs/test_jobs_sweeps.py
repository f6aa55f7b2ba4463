"""What is left half way is driven on, ended, or told again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from atelier.accounts.v1 import events_pb2 as accounts_events
from atelier.jobs.v1 import events_pb2

from kit.bus import Bus
from kit.database import Database, ReadSession, Session
from kit.identity import Signer, create_key
from kit.rpc.client import ServiceChannel, open_channel
from services.jobs.live import store as live
from services.jobs.queue import service as queue
from services.jobs.queue import store as items
from services.jobs.submission import events, store
from services.jobs.submission.drive import Driver, Neighbours
from tests.conftest import Installation
from tests.integration.jobs.test_queue import (
    DELIVERY,
    HOUSE,
    LONG,
    OVER,
    claim,
    item,
    job_state,
    lease_of,
    limit,
    new_job,
    queue_job,
)


@pytest.fixture
async def driver(
    database: Database, data_stores: Installation, tmp_path: Path
) -> AsyncIterator[Driver]:
    """Drives with neighbours of which none answers."""
    create_key(tmp_path, "jobs")
    async with (
        Bus(f"nats://{data_stores.layout.address('nats')}", "jobs") as bus,
        open_channel(f"unix:{tmp_path}/nobody") as channel,
    ):
        nobody = ServiceChannel(channel, "accounts", Signer("jobs", tmp_path))
        yield Driver(database, bus, Neighbours(nobody, nobody, nobody), LONG)


async def published(database: Database) -> list[events_pb2.ItemFinished]:
    async def read(session: ReadSession) -> list[events_pb2.ItemFinished]:
        rows = await session.all(
            "SELECT payload FROM outbox WHERE subject = 'evt.jobs.item.finished.v1' ORDER BY id"
        )
        return [events_pb2.ItemFinished.FromString(bytes(row["payload"])) for row in rows]

    return await database.read(HOUSE, read)


async def test_a_created_job_waits_for_its_neighbours_but_not_for_ever(
    database: Database, driver: Driver
) -> None:
    job = new_job()

    async def write(session: Session) -> None:
        await items.ensure_category(session, job.category, 1)
        await store.insert(session, job, OVER)

    await database.write(HOUSE, write)
    # Two sweepers at once: one of them takes it.
    takes = [database.write(HOUSE, store.take_undriven, OVER, LONG, 10) for _ in range(2)]
    taken = [row for rows in await asyncio.gather(*takes) for row in rows]
    assert {(row["id"], row["is_last"]) for row in taken} == {(job.id, False)}
    await driver.resume(job.id, is_last=False)
    assert await job_state(database, job.id) == "created"

    [row] = await database.write(HOUSE, store.take_undriven, LONG, OVER, 10)
    assert row["is_last"]
    await driver.resume(job.id, is_last=True)
    assert await job_state(database, job.id) == "failed"
    # Whatever was held is released by this; a hold that comes later is refused.
    [end] = await published(database)
    assert end.outcome == events_pb2.ITEM_OUTCOME_FAILED
    assert end.error_code == "unavailable"


async def test_two_sweepers_end_each_silent_lease_once(database: Database) -> None:
    await limit(database, "eats", 9)
    for _ in range(6):
        await queue_job(database)
    claimed = await claim(database, slots=6, lease_seconds=OVER)
    assert len(claimed) == 6
    rounds = [database.write(HOUSE, queue.expire_next) for _ in range(12)]
    expired = [each.item_id for each in await asyncio.gather(*rounds) if each]
    while again := await database.write(HOUSE, queue.expire_next):
        expired.append(again.item_id)
    assert sorted(expired) == sorted(row["id"] for row in claimed)
    for row in claimed:
        assert (await item(database, row["id"]))["infra_failures"] == 1


async def test_the_end_of_an_item_is_told_again_to_whoever_asks(database: Database) -> None:
    await limit(database, "eats", 9)
    job = await queue_job(database)
    asked = accounts_events.HoldOverdue(
        item_id=str(job.items[0].id), job_id=str(job.id), work_id=str(job.items[0].work_id)
    )
    await database.write(HOUSE, events.hold_overdue, asked)
    assert await published(database) == []  # it has not ended yet
    [row] = await claim(database)
    await database.write(HOUSE, queue.deliver, lease_of(row), DELIVERY)
    await database.write(HOUSE, events.hold_overdue, asked)
    first, second = await published(database)
    assert first == second
    assert second.delivery == DELIVERY


async def test_a_hold_for_an_item_that_nobody_knows_is_released(database: Database) -> None:
    asked = accounts_events.HoldOverdue(
        item_id=str(uuid.uuid4()), job_id=str(uuid.uuid4()), work_id=str(uuid.uuid4())
    )
    await database.write(HOUSE, events.hold_overdue, asked)
    [end] = await published(database)
    assert (end.item_id, end.outcome) == (asked.item_id, events_pb2.ITEM_OUTCOME_EXPIRED)


async def test_what_ended_jobs_leave_goes_a_few_jobs_at_a_time_and_what_runs_keeps_all(
    database: Database,
) -> None:
    await limit(database, "eats", 9)
    for _ in range(4):
        await queue_job(database)
    rows = await claim(database, slots=9)
    for row in rows:
        await database.write(HOUSE, queue.begin_step, lease_of(row), "prompt", "hash")
    *ended, running = rows
    for row in ended:
        await database.write(HOUSE, queue.deliver, lease_of(row), DELIVERY)

    assert await left(database) == {row["job_id"] for row in rows}
    assert await database.write(HOUSE, live.sweep, LONG, 1) == 0, "they ended just now"
    for count in (2, 1, 0):
        assert await database.write(HOUSE, live.sweep, OVER, 1)
        assert len(await left(database) & {row["job_id"] for row in ended}) == count
    assert await database.write(HOUSE, live.sweep, OVER, 1) == 0
    assert await left(database) == {running["job_id"]}


async def left(database: Database) -> set[uuid.UUID]:
    """Returns the jobs that have events and steps; all that have either have both."""

    async def read(session: ReadSession) -> set[uuid.UUID]:
        told = await session.all("SELECT DISTINCT job_id FROM job_event")
        kept = await session.all("SELECT job_id FROM step")
        assert {row["job_id"] for row in told} == {row["job_id"] for row in kept}
        return {row["job_id"] for row in told}

    return await database.read(HOUSE, read)
