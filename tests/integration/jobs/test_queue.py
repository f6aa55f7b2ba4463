"""The queue on a real database: limits, leases, fencing, retries, shared steps, fairness."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

import pytest
from atelier.jobs.v1 import queue_pb2

from kit.database import Database, ReadSession, Row, Session
from kit.identity import system
from services.jobs.domain import FailureClass, LeaseLost
from services.jobs.queue import service, store
from services.jobs.queue.store import Lease
from services.jobs.submission import service as submissions
from services.jobs.submission import store as submission_store
from services.jobs.submission.domain import NewItem, NewJob

HOUSE = system("jobs")
DELIVERY = queue_pb2.Delivery(file=queue_pb2.Artifact(object_key="k"))
LONG, OVER = 60.0, -1.0
PATIENCE_SECONDS = 15.0


async def limit(database: Database, category: str, workers_max: int) -> None:
    await database.write(
        HOUSE, store.upsert_category, category, enabled=True, workers_max=workers_max, revision=1
    )


def new_job(
    items: int = 1, user: uuid.UUID | None = None, category: str = "eats", seconds: int = 5
) -> NewJob:
    return NewJob(
        id=uuid.uuid4(),
        user_id=user or uuid.uuid4(),
        payer_id=uuid.uuid4(),
        project_id=uuid.uuid4(),
        batch_id=uuid.uuid4(),
        template_id="t",
        template_version=1,
        category=category,
        inputs_json="{}",
        graph_json="{}",
        text="",
        seed=1,
        idempotency_key=str(uuid.uuid4()),
        items=[
            NewItem(uuid.uuid4(), uuid.uuid4(), "promotional_image", 1, 10, seconds, "gpu")
            for _ in range(items)
        ],
    )


async def queue_job(
    database: Database,
    items: int = 1,
    user: uuid.UUID | None = None,
    category: str = "eats",
    seconds: int = 5,
) -> NewJob:
    job = new_job(items, user, category, seconds)
    await enqueue(database, job)
    return job


async def enqueue(database: Database, job: NewJob) -> None:
    async def write(session: Session) -> None:
        await store.ensure_category(session, job.category, 1)
        await submission_store.insert(session, job, LONG)
        await submissions.enqueue(session, job.id, {})

    await database.write(HOUSE, write)


async def claim(database: Database, slots: int = 1, lease_seconds: float = LONG) -> Sequence[Row]:
    return await database.write(HOUSE, store.claim, ["gpu"], "w", slots, lease_seconds)


def lease_of(row: Row) -> Lease:
    return Lease(row["id"], row["token"])


async def item(database: Database, item_id: uuid.UUID) -> Row:
    async def read(session: ReadSession) -> Row:
        return await session.one("SELECT * FROM item WHERE id = :id", id=item_id)

    return await database.read(HOUSE, read)


async def job_state(database: Database, job_id: uuid.UUID) -> str:
    row = await database.read(HOUSE, submission_store.job_by_id, job_id)
    assert row is not None
    return str(row["state"])


async def test_many_workers_at_once_never_exceed_a_categorys_limit(database: Database) -> None:
    await limit(database, "eats", 4)
    for _ in range(12):
        await queue_job(database, items=2)
    claims = await asyncio.gather(*(claim(database, slots=3) for _ in range(16)))
    claimed = [row["id"] for rows in claims for row in rows]
    assert len(claimed) == len(set(claimed)) == 4
    assert await claim(database, slots=10) == []


async def test_claims_and_submissions_do_not_wait_for_each_other(database: Database) -> None:
    await limit(database, "eats", 9)
    await queue_job(database)
    late = new_job()
    async with asyncio.timeout(PATIENCE_SECONDS), database.transaction(HOUSE) as submitting:
        await submission_store.insert(submitting, late, LONG)
        assert len(await claim(database, slots=5)) == 1, "though a submission hangs in the middle"
    async with asyncio.timeout(PATIENCE_SECONDS), database.transaction(HOUSE) as claiming:
        await store.claim(claiming, ["gpu"], "w", 5, LONG)
        await queue_job(database)


async def test_a_worker_gets_only_its_pools_and_what_may_run(database: Database) -> None:
    await limit(database, "eats", 9)
    await queue_job(database)
    assert await database.write(HOUSE, store.claim, ["text", "cpu"], "w", 5, LONG) == []
    assert len(await claim(database, slots=5)) == 1


async def test_a_report_with_an_old_token_changes_nothing(database: Database) -> None:
    await limit(database, "eats", 9)
    job = await queue_job(database)
    [first] = await claim(database, lease_seconds=OVER)
    expired = await database.write(HOUSE, service.expire_next)
    assert expired == service.Expired(job.id, first["id"])
    await make_runnable(database)
    [second] = await claim(database)
    assert second["token"] > first["token"]
    stale = lease_of(first)
    for report in (
        (service.progress, stale, 50, "generate", b""),
        (service.begin_step, stale, "generate", "h"),
        (service.finish_step, stale, "h", "{}"),
        (service.deliver, stale, DELIVERY),
        (service.fail, stale, FailureClass.USER, "internal", "x"),
        (service.stop, stale),
    ):
        with pytest.raises(LeaseLost):
            await database.write(HOUSE, *report)  # type: ignore[arg-type]
    beat = await database.write(HOUSE, service.heartbeat, [stale], LONG)
    assert beat.lost == [first["id"]]
    assert (await item(database, first["id"]))["state"] == "running"
    await database.write(HOUSE, service.deliver, lease_of(second), DELIVERY)
    assert await job_state(database, job.id) == "succeeded"


async def make_runnable(database: Database) -> None:
    async def now(session: Session) -> None:
        await session.execute("UPDATE item SET run_at = app_now() WHERE state = 'queued'")

    await database.write(HOUSE, now)


async def test_a_renewed_lease_is_not_swept(database: Database) -> None:
    await limit(database, "eats", 9)
    await queue_job(database)
    [row] = await claim(database, lease_seconds=OVER)
    await database.write(HOUSE, service.heartbeat, [lease_of(row)], LONG)
    assert await database.write(HOUSE, service.expire_next) is None


async def test_transient_failures_are_tried_three_times_and_then_end_the_item(
    database: Database,
) -> None:
    await limit(database, "eats", 9)
    job = await queue_job(database)
    for attempt in range(1, 4):
        await make_runnable(database)
        [row] = await claim(database)
        assert row["attempts"] == attempt
        await database.write(
            HOUSE, service.fail, lease_of(row), FailureClass.TRANSIENT, "timeout", "slow"
        )
    ended = await item(database, job.items[0].id)
    assert (ended["state"], ended["error_code"]) == ("failed", "timeout")
    assert await job_state(database, job.id) == "failed"


async def test_a_step_is_run_once_for_all_items_and_taken_over_from_the_dead(
    database: Database,
) -> None:
    await limit(database, "eats", 9)
    job = await queue_job(database, items=3)
    first, second, third = await claim(database, slots=3)

    async def begin(row: Row) -> tuple[int, str]:
        return await database.write(HOUSE, service.begin_step, lease_of(row), "prompt", "hash")

    run, wait, done = (
        queue_pb2.STEP_TURN_RUN,
        queue_pb2.STEP_TURN_WAIT,
        queue_pb2.STEP_TURN_DONE,
    )
    turns = await asyncio.gather(*(begin(row) for row in (first, second, third)))
    assert sorted(turn for turn, _ in turns) == sorted([run, wait, wait])
    runner = (first, second, third)[[turn for turn, _ in turns].index(run)]
    others = [row for row in (first, second, third) if row is not runner]
    await database.write(
        HOUSE, service.fail, lease_of(runner), FailureClass.INFRA, "unavailable", "gone"
    )
    assert (await begin(others[0]))[0] == run, "its runner is dead"
    await database.write(HOUSE, service.finish_step, lease_of(others[0]), "hash", '{"a": 1}')
    assert await begin(others[1]) == (done, '{"a": 1}')
    assert job.items


async def test_cancel_and_completion_race_to_one_outcome(database: Database) -> None:
    await limit(database, "eats", 99)
    for _ in range(40):
        job = await queue_job(database)
        [row] = await claim(database)
        await asyncio.gather(
            database.write(HOUSE, submissions.cancel, job.user_id, job.id),
            database.write(HOUSE, service.deliver, lease_of(row), DELIVERY),
        )
        assert await job_state(database, job.id) == "succeeded", "it was delivered"


async def test_one_who_submits_much_does_not_keep_others_waiting(database: Database) -> None:
    await limit(database, "eats", 99)
    heavy, light = uuid.uuid4(), uuid.uuid4()
    for _ in range(20):
        await queue_job(database, user=heavy)
    await queue_job(database, user=light)
    served = [(await claim(database))[0]["user_id"] for _ in range(5)]
    assert light in served
    assert served.count(heavy) == 4


async def test_the_doors_of_other_categories_stay_open(database: Database) -> None:
    await limit(database, "eats", 1)
    await limit(database, "beauty", 1)
    await queue_job(database, items=5)
    await queue_job(database, category="beauty")
    claimed = await claim(database, slots=10)
    assert sorted(row["category"] for row in claimed) == ["beauty", "eats"]
