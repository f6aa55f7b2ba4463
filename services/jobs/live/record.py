"""Writing what happens to a job: one event per change, in the change's own transaction."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass

from atelier.jobs.v1 import jobs_pb2 as pb

from kit.database import Session
from kit.rows import timestamp
from services.jobs.domain import State, mean_progress
from services.jobs.live import store
from services.jobs.messages import STATE, item_message
from services.jobs.submission import store as submissions


@dataclass(frozen=True)
class Written:
    """A piece of what an attempt writes, and where it begins, in characters."""

    text: str
    at: int


NOTHING_WRITTEN = Written("", 0)


@dataclass(frozen=True)
class Shown:
    """What an event shows of an item.

    Attributes:
        preview: A JPEG, or empty.
        written: What it wrote since the event before.
        recipe_json: How it was made, or empty.
    """

    preview: bytes = b""
    written: Written = NOTHING_WRITTEN
    recipe_json: str = ""


NOTHING_SHOWN = Shown()


async def record(
    session: Session,
    job_id: uuid.UUID,
    kind: str,
    state: State,
    *,
    item_id: uuid.UUID | None = None,
    shown: Shown = NOTHING_SHOWN,
) -> None:
    """Appends an event about a job that the transaction has locked.

    Args:
        session: The transaction of the change.
        job_id: The job.
        kind: queued, started, progress, retrying, item_finished or finished.
        state: Of the job after the change.
        item_id: The item that it is about, if it is about one.
        shown: What there is to see or to read.
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
        created_at=timestamp(place.at),
        text=shown.written.text,
        text_at=shown.written.at,
        recipe_json=shown.recipe_json,
    )
    if shown.preview:
        event.preview = "data:image/jpeg;base64," + base64.b64encode(shown.preview).decode()
    await store.append(session, place, event.SerializeToString())
