"""SQL of jobs as their owners see them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kit import telemetry
from kit.database import ReadSession, Row, Session
from kit.narrowing import Narrowing
from kit.paging import Page, PageRequest
from services.jobs.submission.domain import NewJob

_INSERT_JOB = """
    INSERT INTO job (id, user_id, payer_id, project_id, batch_id, state, template_id,
                     template_version, category, inputs, graph, seed, idempotency_key, traceparent,
                     driven_until)
    VALUES (:id, :user_id, :payer_id, :project_id, :batch_id, 'created', :template_id,
            :template_version, :category, CAST(:inputs AS jsonb), CAST(:graph AS jsonb), :seed,
            :idempotency_key, :traceparent, app_now() + make_interval(secs => :drive_seconds))
"""
_INSERT_ITEM = """
    INSERT INTO item (id, job_id, user_id, work_id, position, work_type, variation, state, credits,
                      estimated_seconds, pool, category)
    VALUES (:id, :job_id, :user_id, :work_id, :position, :work_type, :variation, 'created',
            :credits, :estimated_seconds, :pool, :category)
"""
_DELETE_CREATED = "DELETE FROM job WHERE id = :id AND state = 'created'"
_JOB = "SELECT * FROM job WHERE id = :id AND user_id = :user_id"
_JOB_BY_ID = """
    SELECT *, inputs::text AS inputs_json, graph::text AS graph_json FROM job WHERE id = :id
"""
_JOB_BY_KEY = """
    SELECT * FROM job WHERE user_id = :user_id AND idempotency_key = :key AND state <> 'created'
    ORDER BY id DESC LIMIT 1
"""
_LOCK_JOB = "SELECT * FROM job WHERE id = :id FOR UPDATE"
_ITEMS = "SELECT * FROM item WHERE job_id = ANY(:job_ids) ORDER BY job_id, position"
_LOCK_ITEMS = "SELECT * FROM item WHERE job_id = :job_id ORDER BY position FOR UPDATE"
_PAGE = """
    SELECT * FROM job WHERE user_id = :user_id AND id < :before AND id >= :since
    ORDER BY id DESC LIMIT :fetch
"""
_NARROWING = Narrowing(
    "id",
    ("batch_id", "template_id", "project_id", "category", "state"),
    {
        "created_from": "created_at >= :created_from",
        "created_to": "created_at < :created_to",
    },
)
_SET_STATE = """
    UPDATE job SET state = :state, finished_at = CASE WHEN :final THEN app_now() END
    WHERE id = :id AND state = ANY(:before)
"""
_REQUEST_CANCEL = "UPDATE job SET cancel_requested = true WHERE id = :id"
_HELD = """
    UPDATE item SET subscription = :subscription, purchased = :purchased WHERE id = :id
"""
# Start-time fair queueing (Goyal, 1996): a tag is what the user has asked for so far, in predicted
# seconds, but never behind the category's clock, so that idleness is not banked.
_NEXT_TAG = """
    INSERT INTO fair_share (category, user_id, tag)
    SELECT name, :user_id, clock + :seconds FROM category WHERE name = :category
    ON CONFLICT (category, user_id) DO UPDATE SET tag = :seconds + greatest(
        fair_share.tag, (SELECT clock FROM category WHERE name = :category))
    RETURNING tag
"""
_QUEUE_ITEM = """
    UPDATE item SET state = 'queued', tag = :tag, run_at = app_now()
    WHERE id = :id AND state = 'created'
"""
_TAKE_UNDRIVEN = """
    UPDATE job SET driven_until = app_now() + make_interval(secs => :drive_seconds)
    WHERE id IN (
        SELECT id FROM job WHERE state = 'created' AND driven_until < app_now()
        ORDER BY driven_until LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING id, created_at < app_now() - make_interval(secs => :created_seconds_max) AS is_last
"""
_AHEAD = """
    SELECT count(*) AS items, coalesce(sum(other.estimated_seconds), 0)::bigint AS seconds
    FROM item AS other, (
        SELECT category, pool, priority, tag, id FROM item
        WHERE job_id = :job_id AND state = 'queued' ORDER BY priority DESC, tag, id LIMIT 1) AS mine
    WHERE other.state = 'queued' AND other.pool = mine.pool AND other.category = mine.category
      AND (-other.priority, other.tag, other.id) < (-mine.priority, mine.tag, mine.id)
"""


@dataclass(frozen=True)
class Filter:
    """Which jobs a list shows; empty means any.

    Attributes:
        state: In this state.
        project_id: Of this project.
        batch_id: Of this batch.
        category: Of this category.
        template_id: By this template.
        created_from: Submitted then or later.
        created_to: Submitted before.
    """

    state: str = ""
    project_id: uuid.UUID | None = None
    batch_id: uuid.UUID | None = None
    category: str = ""
    template_id: str = ""
    created_from: dt.datetime | None = None
    created_to: dt.datetime | None = None


async def insert(session: Session, job: NewJob, drive_seconds: float) -> None:
    """Writes a job and its items in state created."""
    await session.execute(
        _INSERT_JOB,
        id=job.id,
        user_id=job.user_id,
        payer_id=job.payer_id,
        project_id=job.project_id,
        batch_id=job.batch_id,
        template_id=job.template_id,
        template_version=job.template_version,
        category=job.category,
        inputs=job.inputs_json,
        graph=job.graph_json,
        seed=job.seed,
        idempotency_key=job.idempotency_key,
        traceparent=telemetry.carrier().get("traceparent", ""),
        drive_seconds=drive_seconds,
    )
    rows = [
        {
            "id": item.id,
            "job_id": job.id,
            "user_id": job.user_id,
            "work_id": item.work_id,
            "position": position,
            "work_type": item.work_type,
            "variation": item.variation,
            "credits": item.credits,
            "estimated_seconds": item.estimated_seconds,
            "pool": item.pool,
            "category": job.category,
        }
        for position, item in enumerate(job.items)
    ]
    await session.execute_many(_INSERT_ITEM, rows)


async def delete_created(session: Session, job_id: uuid.UUID) -> bool:
    """Removes a job that was refused; False where it is past that."""
    return await session.execute(_DELETE_CREATED, id=job_id) == 1


async def job(session: ReadSession, user_id: uuid.UUID, job_id: uuid.UUID) -> Row | None:
    """Reads a job of the user's."""
    return await session.first(_JOB, id=job_id, user_id=user_id)


async def job_by_key(session: ReadSession, user_id: uuid.UUID, key: str) -> Row | None:
    """Reads the user's newest job past ``created`` with an idempotency key."""
    return await session.first(_JOB_BY_KEY, user_id=user_id, key=key)


async def job_by_id(session: ReadSession, job_id: uuid.UUID) -> Row | None:
    """Reads a job with its inputs and graph as text."""
    return await session.first(_JOB_BY_ID, id=job_id)


async def lock_job(session: Session, job_id: uuid.UUID) -> Row | None:
    """Locks a job; everything that changes a job or its items does so first."""
    return await session.first(_LOCK_JOB, id=job_id)


async def items(session: ReadSession, job_ids: Sequence[uuid.UUID]) -> Sequence[Row]:
    """Reads the items of jobs, in order."""
    return await session.all(_ITEMS, job_ids=list(job_ids))


async def lock_items(session: Session, job_id: uuid.UUID) -> Sequence[Row]:
    """Locks the items of a locked job, in order."""
    return await session.all(_LOCK_ITEMS, job_id=job_id)


async def page(
    session: ReadSession, user_id: uuid.UUID, request: PageRequest, wanted: Filter
) -> Page[Row]:
    """Reads a page of the user's jobs, newest first."""
    rows = await _NARROWING.page(session, _PAGE, request, asdict(wanted), user_id=user_id)
    return request.page(rows, [row["id"] for row in rows])


async def set_state(
    session: Session, job_id: uuid.UUID, state: str, before: Sequence[str], *, final: bool
) -> bool:
    """Moves a job to a state from one of those before; False where it is in another."""
    changed = await session.execute(
        _SET_STATE, id=job_id, state=state, before=list(before), final=final
    )
    return changed == 1


async def request_cancel(session: Session, job_id: uuid.UUID) -> None:
    """Notes that the owner wants an end."""
    await session.execute(_REQUEST_CANCEL, id=job_id)


async def set_held(session: Session, held: Sequence[dict[str, object]]) -> None:
    """Notes from which pools each item was paid."""
    await session.execute_many(_HELD, held)


async def next_tag(session: Session, category: str, user_id: uuid.UUID, seconds: float) -> float:
    """Returns the place of the user's next item in the category's queue."""
    tag = await session.scalar(_NEXT_TAG, category=category, user_id=user_id, seconds=seconds)
    return float(tag)


async def queue_items(session: Session, tags: Sequence[dict[str, object]]) -> None:
    """Queues items, each at its tag."""
    await session.execute_many(_QUEUE_ITEM, tags)


async def take_undriven(
    session: Session, drive_seconds: float, created_seconds_max: float, limit: int
) -> Sequence[Row]:
    """Takes over created jobs that nobody drives on; ``is_last`` says that one is too old."""
    return await session.all(
        _TAKE_UNDRIVEN,
        drive_seconds=drive_seconds,
        created_seconds_max=created_seconds_max,
        limit=limit,
    )


async def ahead(session: ReadSession, job_id: uuid.UUID) -> Row:
    """Counts the items ahead of the job's first waiting one, and sums their estimates."""
    return await session.one(_AHEAD, job_id=job_id)
