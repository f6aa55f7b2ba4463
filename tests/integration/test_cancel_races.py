"""Cancellation raced against completion: one outcome each time, and the money agrees with it."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from atelier.jobs.v1 import events_pb2

from kit.database import Database, ReadSession
from kit.identity import Identity, Kind, system
from services.accounts.credits import events as credits_events
from services.accounts.credits import service as credits_service
from services.accounts.credits import store as credits_store
from services.accounts.credits.domain import Grant, Line
from services.jobs.queue import service as queue
from services.jobs.queue import store as items
from services.jobs.queue.store import Lease
from services.jobs.submission import service as submissions
from services.jobs.submission.domain import NewJob
from tests.conftest import Installation
from tests.databases import template
from tests.integration.jobs.test_queue import DELIVERY, LONG, limit, queue_job

RACES = 2_000 if os.environ.get("DEEP_SECONDS") else 400
AT_ONCE = 10
PRICE = 10
JOBS, ACCOUNTS = system("jobs"), system("accounts")
OWNER = uuid.uuid4()
AS_OWNER = Identity(Kind.MEMBER, user_id=OWNER)


@dataclass(frozen=True)
class Stage:
    """The databases of jobs and accounts, and the seed that shuffles the races."""

    jobs: Database
    accounts: Database
    random: random.Random


@pytest.fixture
async def stage(postgres_server: Installation) -> AsyncIterator[Stage]:
    made = [await template(postgres_server.layout, name) for name in ("jobs", "accounts")]
    jobs, accounts = [await each.fresh() for each in made]
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where a race fails
    async with Database(jobs.serving, AT_ONCE) as first, Database(accounts.serving, 4) as second:
        yield Stage(first, second, random.Random(seed))


async def cancel(stage: Stage, job: NewJob) -> None:
    await stage.jobs.write(AS_OWNER, submissions.cancel, OWNER, job.id)


async def work(stage: Stage, lease: Lease) -> None:
    """A worker's last step: it looks whether it is to stop, and else delivers."""
    beat = await stage.jobs.write(JOBS, queue.heartbeat, [lease], LONG)
    if lease.item_id in beat.canceled:
        await stage.jobs.write(JOBS, queue.stop, lease)
    else:
        await stage.jobs.write(JOBS, queue.deliver, lease, DELIVERY)


async def claim(stage: Stage) -> list[Lease]:
    rows = await stage.jobs.write(JOBS, items.claim, ["gpu"], "w", AT_ONCE, LONG)
    return [Lease(row["id"], row["token"]) for row in rows]


async def claim_and_work(stage: Stage) -> None:
    await asyncio.gather(*(work(stage, lease) for lease in await claim(stage)))


async def race(stage: Stage) -> None:
    """Runs a few: jobs that wait or run already, canceled and worked off at the same time."""
    jobs = await asyncio.gather(*(queue_job(stage.jobs, user=OWNER) for _ in range(AT_ONCE)))
    cancels = [cancel(stage, job) for job in jobs]
    if stage.random.random() < 0.3:
        works = [claim_and_work(stage)]
    else:
        works = [work(stage, lease) for lease in await claim(stage)]
    both = [*cancels, *works]
    stage.random.shuffle(both)
    await asyncio.gather(*both)


async def ends(database: Database) -> tuple[dict[str, str], list[events_pb2.ItemFinished]]:
    """Returns the final state of each item, and every end that was published."""

    async def read(session: ReadSession) -> tuple[dict[str, str], list[events_pb2.ItemFinished]]:
        states = await session.all(
            "SELECT item.id, item.state, job.state AS job FROM item JOIN job ON job.id = job_id"
        )
        assert [row for row in states if row["state"] != row["job"]] == []
        rows = await session.all(
            "SELECT payload FROM outbox WHERE subject = 'evt.jobs.item.finished.v1'"
        )
        told = [events_pb2.ItemFinished.FromString(bytes(row["payload"])) for row in rows]
        return {str(row["id"]): row["state"] for row in states}, told

    return await database.read(JOBS, read)


async def settle(stage: Stage, told: list[events_pb2.ItemFinished]) -> None:
    """Holds for every item, and lets the ledger hear each end, some of them twice."""
    accounts = stage.accounts
    await accounts.write(ACCOUNTS, credits_service.open_wallet, OWNER)
    given = Grant(OWNER, PRICE * len(told), "purchased", None, "test", "all")
    await accounts.write(ACCOUNTS, credits_service.grant, given)
    job_id = uuid.uuid4()
    lines = [Line(uuid.UUID(end.item_id), uuid.UUID(end.work_id), PRICE) for end in told]
    await accounts.write(ACCOUNTS, credits_service.hold, job_id, OWNER, lines)
    for end in told:
        end.job_id = str(job_id)
        for _ in range(1 + (stage.random.random() < 0.1)):
            await accounts.write(ACCOUNTS, credits_events.item_finished, end)


async def test_a_cancel_and_a_completion_have_one_outcome_and_the_money_agrees(
    stage: Stage,
) -> None:
    await limit(stage.jobs, "eats", RACES)
    for _ in range(RACES // AT_ONCE):
        await race(stage)
    states, told = await ends(stage.jobs)
    count = Counter(states.values())
    assert sum(count.values()) == RACES
    assert set(count) == {"succeeded", "canceled"}, count  # both sides win now and then
    assert len(told) == RACES
    outcome = {
        "succeeded": events_pb2.ITEM_OUTCOME_SUCCEEDED,
        "canceled": events_pb2.ITEM_OUTCOME_CANCELED,
    }
    assert {end.item_id: end.outcome for end in told} == {
        item_id: outcome[state] for item_id, state in states.items()
    }
    await settle(stage, told)
    balance = await stage.accounts.read(ACCOUNTS, credits_store.balance, OWNER)
    assert dict(balance) == {
        "subscription": 0,
        "purchased": PRICE * count["canceled"],
        "held": 0,
    }
