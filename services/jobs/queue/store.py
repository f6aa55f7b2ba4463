"""SQL of the queue. Every report is guarded by its fencing token: no row, no effect."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from kit.database import ReadSession, Row, Session
from services.jobs.domain import State

# Two statements: the function sees jobs that were committed after its caller's snapshot, and a join
# in that snapshot would drop what it has just claimed.
_CLAIM = """
    SELECT id FROM claim_items(:pools, :worker, :slots, make_interval(secs => :lease_seconds))
"""
_CLAIMED = """
    SELECT item.*, job.graph::text AS graph_json, job.inputs::text AS inputs_json, job.seed,
           job.template_id, job.traceparent
    FROM item JOIN job ON job.id = item.job_id
    WHERE item.id = ANY(:ids) ORDER BY array_position(CAST(:ids AS uuid[]), item.id)
"""
_HEARTBEAT = """
    UPDATE item SET lease_until = app_now() + make_interval(secs => :lease_seconds)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS bigint[])) AS lease (id, token)
    WHERE item.id = lease.id AND item.token = lease.token AND item.state = 'running'
    RETURNING item.id, item.cancel_requested
"""
_LEASED = """
    SELECT * FROM item WHERE id = :id AND token = :token AND state = 'running' FOR UPDATE
"""
# The job first, as everybody does who changes one of its items.
_LOCK_JOB_OF = """
    SELECT * FROM job WHERE id = (SELECT job_id FROM item WHERE id = :item_id) FOR UPDATE
"""
_ITEM = "SELECT * FROM item WHERE id = :id"
_PROGRESS = "UPDATE item SET progress = :progress, step = :step WHERE id = :id"
_END = """
    UPDATE item SET state = :state, finished_at = app_now(), lease_until = NULL, step = '',
        error_code = :error_code, error_message = :error_message, delivery = :delivery,
        progress = CASE WHEN :state = 'succeeded' THEN 100 ELSE progress END
    WHERE id = :id
"""
_REQUEUE = """
    UPDATE item SET state = 'queued', lease_until = NULL, worker_id = '', progress = 0, step = '',
        infra_failures = infra_failures + :infra,
        run_at = app_now() + make_interval(secs => :delay_seconds)
    WHERE id = :id
"""
_REQUEST_CANCEL = "UPDATE item SET cancel_requested = true WHERE id = ANY(:ids)"
_LOCK_EXPIRED = """
    SELECT job.id AS job_id, item.id, item.token FROM item JOIN job ON job.id = item.job_id
    WHERE item.state = 'running' AND item.lease_until < app_now()
    ORDER BY item.lease_until LIMIT 1 FOR UPDATE OF job SKIP LOCKED
"""
_STILL_EXPIRED = """
    SELECT * FROM item
    WHERE id = :id AND token = :token AND state = 'running' AND lease_until < app_now() FOR UPDATE
"""
_STEP = """
    SELECT step.token, step.output::text AS output_json,
           holder.state = 'running' AND holder.token = step.token AS is_held
    FROM step JOIN item AS holder ON holder.id = step.item_id
    WHERE step.job_id = :job_id AND content_hash = :content_hash FOR UPDATE OF step
"""
_TAKE_STEP = """
    INSERT INTO step (job_id, content_hash, name, item_id, token)
    VALUES (:job_id, :content_hash, :name, :item_id, :token)
    ON CONFLICT (job_id, content_hash) DO UPDATE SET item_id = :item_id, token = :token
    WHERE step.output IS NULL
"""
_FINISH_STEP = """
    UPDATE step SET output = CAST(:output AS jsonb)
    WHERE job_id = :job_id AND content_hash = :content_hash AND output IS NULL
"""
_UPSERT_CATEGORY = """
    INSERT INTO category (name, enabled, workers_max, revision)
    VALUES (:name, :enabled, :workers_max, :revision)
    ON CONFLICT (name) DO UPDATE
    SET enabled = :enabled, workers_max = :workers_max, revision = :revision
    WHERE category.revision < :revision
"""
_ENSURE_CATEGORY = """
    INSERT INTO category (name, enabled, workers_max, revision) VALUES (:name, true, :workers, 0)
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True)
class Lease:
    """A worker's claim on an item."""

    item_id: uuid.UUID
    token: int


async def claim(
    session: Session, pools: Sequence[str], worker: str, slots: int, lease_seconds: float
) -> Sequence[Row]:
    """Leases the next runnable items within every limit."""
    rows = await session.all(
        _CLAIM, pools=list(pools), worker=worker, slots=slots, lease_seconds=lease_seconds
    )
    return await session.all(_CLAIMED, ids=[row["id"] for row in rows]) if rows else []


async def heartbeat(
    session: Session, leases: Sequence[Lease], lease_seconds: float
) -> Sequence[Row]:
    """Renews leases and returns those that still hold."""
    return await session.all(
        _HEARTBEAT,
        ids=[lease.item_id for lease in leases],
        tokens=[lease.token for lease in leases],
        lease_seconds=lease_seconds,
    )


async def lock_job_of(session: Session, item_id: uuid.UUID) -> Row | None:
    """Locks the job of an item."""
    return await session.first(_LOCK_JOB_OF, item_id=item_id)


async def item(session: ReadSession, item_id: uuid.UUID) -> Row | None:
    """Reads an item."""
    return await session.first(_ITEM, id=item_id)


async def leased(session: Session, lease: Lease) -> Row | None:
    """Locks an item by its lease; None where the lease is over."""
    return await session.first(_LEASED, id=lease.item_id, token=lease.token)


async def progress(session: Session, item_id: uuid.UUID, percent: int, step: str) -> None:
    """Notes how far a locked item is."""
    await session.execute(_PROGRESS, id=item_id, progress=percent, step=step)


async def end(
    session: Session,
    item_id: uuid.UUID,
    state: State,
    error_code: str,
    error_message: str,
    delivery: bytes | None,
) -> None:
    """Ends a locked item; ``delivery`` is what it made, as its message in bytes."""
    await session.execute(
        _END,
        id=item_id,
        state=state,
        error_code=error_code,
        error_message=error_message,
        delivery=delivery,
    )


async def requeue(
    session: Session, item_id: uuid.UUID, delay_seconds: float, *, infra: bool
) -> None:
    """Puts a locked item back for another attempt."""
    await session.execute(_REQUEUE, id=item_id, delay_seconds=delay_seconds, infra=int(infra))


async def request_cancel(session: Session, item_ids: Sequence[uuid.UUID]) -> None:
    """Tells the workers of locked running items to stop."""
    await session.execute(_REQUEST_CANCEL, ids=list(item_ids))


async def lock_expired(session: Session) -> Row | None:
    """Locks the job of an item whose lease has ended, one that nobody else has locked."""
    return await session.first(_LOCK_EXPIRED)


async def still_expired(session: Session, lease: Lease) -> Row | None:
    """Locks an item whose lease has ended; None where it was renewed or swept meanwhile."""
    return await session.first(_STILL_EXPIRED, id=lease.item_id, token=lease.token)


async def step(session: Session, job_id: uuid.UUID, content_hash: str) -> Row | None:
    """Locks a step; ``is_held`` says whether its worker still has the item that runs it."""
    return await session.first(_STEP, job_id=job_id, content_hash=content_hash)


async def take_step(
    session: Session, job_id: uuid.UUID, content_hash: str, name: str, lease: Lease
) -> None:
    """Gives a step to an item to run."""
    await session.execute(
        _TAKE_STEP,
        job_id=job_id,
        content_hash=content_hash,
        name=name,
        item_id=lease.item_id,
        token=lease.token,
    )


async def finish_step(session: Session, job_id: uuid.UUID, content_hash: str, output: str) -> None:
    """Keeps a step's output; the first one stands."""
    await session.execute(_FINISH_STEP, job_id=job_id, content_hash=content_hash, output=output)


async def upsert_category(
    session: Session, name: str, *, enabled: bool, workers_max: int, revision: int
) -> None:
    """Takes over a category's limits unless newer ones are known."""
    await session.execute(
        _UPSERT_CATEGORY, name=name, enabled=enabled, workers_max=workers_max, revision=revision
    )


async def ensure_category(session: Session, name: str, workers: int) -> None:
    """Makes a category whose event has not arrived yet, with a careful limit."""
    await session.execute(_ENSURE_CATEGORY, name=name, workers=workers)
