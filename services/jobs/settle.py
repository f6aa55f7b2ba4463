"""Ends of items and jobs: terminal state, event for the money, event for the client, at once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from atelier.jobs.v1 import events_pb2, queue_pb2

from kit.crash import crash_point
from kit.database import Row, Session
from services.jobs.domain import FINAL, JOB_TRANSITIONS, State, job_end
from services.jobs.live.record import NOTHING_SHOWN, Shown, record
from services.jobs.queue import store as queue
from services.jobs.submission import store as submissions

# A longer one is read with the work.
RECIPE_BYTES_MAX = 128 << 10
_OUTCOME = {
    State.SUCCEEDED: events_pb2.ITEM_OUTCOME_SUCCEEDED,
    State.FAILED: events_pb2.ITEM_OUTCOME_FAILED,
    State.CANCELED: events_pb2.ITEM_OUTCOME_CANCELED,
    State.EXPIRED: events_pb2.ITEM_OUTCOME_EXPIRED,
}


async def end_items(
    session: Session,
    job: Row,
    rows: Sequence[Row],
    state: State,
    *,
    delivery: queue_pb2.Delivery | None = None,
    error_code: str = "",
    error_message: str = "",
) -> None:
    """Ends items of a locked job in one state, and the job with its last one."""
    content = delivery.SerializeToString() if delivery is not None else None
    for row in rows:
        await queue.end(session, row["id"], state, error_code, error_message, content)
        ended = {"state": state, "error_code": error_code, "delivery": content}
        await session.publish(_finished({**row, **ended}))
    items = await submissions.items(session, [job["id"]])
    end = job_end(State(item["state"]) for item in items)
    now = end or State(job["state"])
    for row in rows:
        await record(
            session, job["id"], "item_finished", now, item_id=row["id"], shown=_shown(delivery)
        )
    if end is not None:
        await end_job(session, job["id"], end)
    crash_point("finish.before_commit")


def _shown(delivery: queue_pb2.Delivery | None) -> Shown:
    recipe = delivery.recipe_json if delivery is not None else ""
    return Shown(recipe_json=recipe) if len(recipe.encode()) <= RECIPE_BYTES_MAX else NOTHING_SHOWN


async def tell_again(session: Session, item: Row) -> None:
    """Publishes the end of an item once more; nothing where it has not ended."""
    if item["state"] in FINAL:
        await session.publish(_finished(dict(item)))


def _finished(item: Mapping[str, Any]) -> events_pb2.ItemFinished:
    content = item["delivery"]
    return events_pb2.ItemFinished(
        item_id=str(item["id"]),
        job_id=str(item["job_id"]),
        work_id=str(item["work_id"]),
        outcome=_OUTCOME[State(item["state"])],
        delivery=queue_pb2.Delivery.FromString(bytes(content)) if content is not None else None,
        error_code=item["error_code"],
    )


async def end_job(session: Session, job_id: uuid.UUID, end: State) -> None:
    """Ends a locked job whose items are all final."""
    before = [state for state, following in JOB_TRANSITIONS.items() if end in following]
    # A queued job whose items were claimed and ended before its start was noted has run, too.
    if end is State.SUCCEEDED:
        await submissions.set_state(session, job_id, State.RUNNING, [State.QUEUED], final=False)
    if await submissions.set_state(session, job_id, end, before, final=True):
        await record(session, job_id, "finished", end)


def open_items(rows: Sequence[Row]) -> list[Row]:
    """Returns those that are not final."""
    return [row for row in rows if row["state"] not in FINAL]
