"""Writing what happens to a job: one event per change, in the change's own transaction."""

from __future__ import annotations

import base64
import uuid

from atelier.jobs.v1 import jobs_pb2 as pb

from kit.database import Session
from kit.rows import timestamp
from services.jobs.domain import State, mean_progress
from services.jobs.live import store
from services.jobs.messages import STATE, item_message
from services.jobs.submission import store as submissions


async def record(
    session: Session,
    job_id: uuid.UUID,
    kind: str,
    state: State,
    *,
    item_id: uuid.UUID | None = None,
    preview: bytes = b"",
) -> None:
    """Appends an event about a job that the transaction has locked.

    Args:
        session: The transaction of the change.
        job_id: The job.
        kind: queued, started, progress, retrying, item_finished or finished.
        state: Of the job after the change.
        item_id: The item that it is about, if it is about one.
        preview: A JPEG, or empty.
    """
    items = await submissions.items(session, [job_id])
    place = await store.next_place(session, job_id)
    event = pb.JobEvent(
        sequence=place.sequence,
        feed_sequence=place.feed_sequence,
        batch_id=str(place.batch_id),
        type=kind,
        job_id=str(job_id),
        state=STATE[state],
        progress=mean_progress((State(row["state"]), row["progress"]) for row in items),
        item=next((item_message(row) for row in items if row["id"] == item_id), None),
        created_at=timestamp(await session.now()),
    )
    if preview:
        event.preview = "data:image/jpeg;base64," + base64.b64encode(preview).decode()
    await store.append(session, place, event.SerializeToString())
