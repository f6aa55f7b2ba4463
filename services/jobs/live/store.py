"""SQL of job events.

An event has two places: in its job, and in the feed of the job's owner. The feed's row is locked
until its transaction ends, so that places in a feed become visible in their order and without gaps.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kit.database import ReadSession, Row, Session

_NEXT = """
    WITH placed AS (
        INSERT INTO feed (user_id, sequence) SELECT user_id, 1 FROM job WHERE id = :job_id
        ON CONFLICT (user_id) DO UPDATE SET sequence = feed.sequence + 1
        RETURNING sequence
    )
    UPDATE job SET sequence = job.sequence + 1, feed_sequence = placed.sequence
    FROM placed WHERE id = :job_id
    RETURNING job.sequence, user_id, batch_id, feed_sequence, app_now() AS at
"""
_APPEND = """
    INSERT INTO job_event (job_id, sequence, event, user_id, feed_sequence)
    VALUES (:job_id, :sequence, :event, :user_id, :feed_sequence)
"""
_AFTER = """
    SELECT event FROM job_event WHERE job_id = :job_id AND sequence > :after
    ORDER BY sequence LIMIT :limit
"""
_FEED_AFTER = """
    SELECT event FROM job_event WHERE user_id = :user_id AND feed_sequence > :after
    ORDER BY feed_sequence LIMIT :limit
"""
_BATCH_AFTER = """
    SELECT event FROM job_event WHERE job_id = ANY(:job_ids) AND feed_sequence > :after
    ORDER BY feed_sequence LIMIT :limit
"""
# The events of a job go all at once: when its newest is gone, so are those before it.
_LOST = """
    SELECT EXISTS (
        SELECT FROM job WHERE id = ANY(:job_ids) AND feed_sequence > :after
          AND NOT EXISTS (SELECT FROM job_event AS newest
                          WHERE newest.job_id = job.id AND newest.sequence = job.sequence))
"""
_FEED = "SELECT coalesce(max(sequence), 0) FROM feed WHERE user_id = :user_id"
_BATCH = """
    SELECT id, state, sequence FROM job WHERE batch_id = :batch_id AND user_id = :user_id
    ORDER BY id LIMIT :limit
"""
_NEWEST = """
    SELECT id, sequence FROM job WHERE id = ANY(:job_ids)
    UNION ALL
    SELECT user_id, sequence FROM feed WHERE user_id = ANY(:user_ids)
"""
_OWNERS = "SELECT DISTINCT user_id FROM job WHERE id = ANY(:job_ids)"
# By the oldest events, of which there is an index, to the jobs that ended: what they have left goes
# at once. A job that another sweeper has locked is his.
_SWEEP = """
    WITH ended AS (
        SELECT id FROM job WHERE id IN (
            SELECT job_id FROM job_event JOIN job AS old ON old.id = job_id
            WHERE job_event.created_at < app_now() - make_interval(secs => :age)
              AND old.finished_at < app_now() - make_interval(secs => :age)
            ORDER BY job_event.created_at LIMIT :limit)
        FOR UPDATE SKIP LOCKED
    ), forgotten AS (
        DELETE FROM step USING ended WHERE job_id = ended.id
    )
    DELETE FROM job_event USING ended WHERE job_id = ended.id
"""
BATCH_JOBS_MAX = 100


@dataclass(frozen=True)
class Place:
    """Where an event stands.

    Attributes:
        job_id: Its job.
        sequence: In the job, from 1.
        user_id: The job's owner.
        feed_sequence: In the owner's feed, from 1.
        batch_id: The batch of the job.
        at: The time by the one clock.
    """

    job_id: uuid.UUID
    sequence: int
    user_id: uuid.UUID
    feed_sequence: int
    batch_id: uuid.UUID
    at: dt.datetime


async def next_place(session: Session, job_id: uuid.UUID) -> Place:
    """Takes the next place of a job, which the transaction has locked, and of its owner's feed."""
    row = await session.one(_NEXT, job_id=job_id)
    return Place(job_id, **row)


async def append(session: Session, place: Place, event: bytes) -> None:
    """Writes an event at its place."""
    await session.execute(
        _APPEND,
        job_id=place.job_id,
        sequence=place.sequence,
        event=event,
        user_id=place.user_id,
        feed_sequence=place.feed_sequence,
    )


async def after(
    session: ReadSession, job_id: uuid.UUID, sequence: int, limit: int
) -> Sequence[bytes]:
    """Reads the events of a job that follow a sequence."""
    rows = await session.all(_AFTER, job_id=job_id, after=sequence, limit=limit)
    return [bytes(row["event"]) for row in rows]


async def feed_after(
    session: ReadSession, user_id: uuid.UUID, sequence: int, limit: int
) -> Sequence[bytes]:
    """Reads the events of a user's jobs that follow a place of the feed."""
    rows = await session.all(_FEED_AFTER, user_id=user_id, after=sequence, limit=limit)
    return [bytes(row["event"]) for row in rows]


async def batch_after(
    session: ReadSession, job_ids: Sequence[uuid.UUID], sequence: int, limit: int
) -> Sequence[bytes]:
    """Reads the events of some jobs that follow a place of their owner's feed."""
    rows = await session.all(_BATCH_AFTER, job_ids=list(job_ids), after=sequence, limit=limit)
    return [bytes(row["event"]) for row in rows]


async def has_lost(session: ReadSession, job_ids: Sequence[uuid.UUID], sequence: int) -> bool:
    """Whether events of some jobs that follow a place of their owner's feed are not kept."""
    return bool(await session.scalar(_LOST, job_ids=list(job_ids), after=sequence))


async def feed_sequence(session: ReadSession, user_id: uuid.UUID) -> int:
    """Returns the newest place of a user's feed; 0 where nothing has happened."""
    return int(await session.scalar(_FEED, user_id=user_id))


async def jobs_of_batch(
    session: ReadSession, user_id: uuid.UUID, batch_id: uuid.UUID
) -> Sequence[Row]:
    """Reads the jobs of a batch of the user's: id, state and newest sequence."""
    return await session.all(_BATCH, user_id=user_id, batch_id=batch_id, limit=BATCH_JOBS_MAX)


async def newest(
    session: ReadSession, job_ids: Collection[uuid.UUID], user_ids: Collection[uuid.UUID]
) -> Mapping[uuid.UUID, int]:
    """Returns the newest sequence of jobs and of feeds."""
    rows = await session.all(_NEWEST, job_ids=list(job_ids), user_ids=list(user_ids))
    return {row["id"]: int(row["sequence"]) for row in rows}


async def owners(session: ReadSession, job_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Returns the owners of jobs."""
    return {row["user_id"] for row in await session.all(_OWNERS, job_ids=list(job_ids))}


async def sweep(session: Session, age_seconds: float, limit: int) -> int:
    """Deletes events and finished steps of jobs that ended long enough ago; the jobs stay.

    Args:
        session: The transaction.
        age_seconds: Since the end of a job.
        limit: How many events are looked at; of one job all go. After an outage there may be more
            than one statement has the time to delete.

    Returns:
        How many events were deleted.
    """
    return await session.execute(_SWEEP, age=age_seconds, limit=limit)
