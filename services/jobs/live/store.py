"""SQL of job events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from kit.database import ReadSession, Session

_NEXT = "UPDATE job SET sequence = sequence + 1 WHERE id = :job_id RETURNING sequence"
_APPEND = "INSERT INTO job_event (job_id, sequence, event) VALUES (:job_id, :sequence, :event)"
_AFTER = """
    SELECT event FROM job_event WHERE job_id = :job_id AND sequence > :after
    ORDER BY sequence LIMIT :limit
"""
_SWEEP = """
    DELETE FROM job_event USING job
    WHERE job.id = job_event.job_id AND job.finished_at < app_now() - make_interval(secs => :age)
"""


async def next_sequence(session: Session, job_id: uuid.UUID) -> int:
    """Takes the next sequence of a job, which the transaction has locked."""
    return int(await session.scalar(_NEXT, job_id=job_id))


async def append(session: Session, job_id: uuid.UUID, sequence: int, event: bytes) -> None:
    """Writes an event."""
    await session.execute(_APPEND, job_id=job_id, sequence=sequence, event=event)


async def after(
    session: ReadSession, job_id: uuid.UUID, sequence: int, limit: int
) -> Sequence[bytes]:
    """Reads the events that follow a sequence."""
    rows = await session.all(_AFTER, job_id=job_id, after=sequence, limit=limit)
    return [bytes(row["event"]) for row in rows]


async def sweep(session: Session, age_seconds: float) -> int:
    """Deletes the events of jobs that ended long enough ago; the jobs stay."""
    return await session.execute(_SWEEP, age=age_seconds)
