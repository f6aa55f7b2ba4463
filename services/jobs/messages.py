"""Rows into the messages that clients see."""

from __future__ import annotations

import math
from collections.abc import Sequence

from atelier.jobs.v1 import jobs_pb2 as pb

from kit.database import Row
from kit.rows import RowMapper, enum_words
from services.jobs.domain import FINAL, State, mean_progress

POLL_AFTER_SECONDS = 1
STATE = enum_words(pb.State.DESCRIPTOR)
item_message = RowMapper(pb.Item)
_BY_HAND = (
    "status_url",
    "cancel_url",
    "events_url",
    "queue_position",
    "estimated_seconds",
    "credits",
    "items",
    "succeeded_items",
    "failed_items",
    "canceled_items",
    "progress",
    "poll_after_seconds",
)
_job = RowMapper(pb.Job, filled_by_hand=_BY_HAND)


def job_message(row: Row, items: Sequence[Row], ticket: str, ahead: Row | None = None) -> pb.Job:
    """Builds a job.

    Args:
        row: The job.
        items: Its items, in order.
        ticket: By which its events may be read for a while.
        ahead: Items and seconds of work ahead of its first waiting item.
    """
    states = [State(item["state"]) for item in items]
    path = f"/v1/jobs/{row['id']}"
    waiting = sum(
        item["estimated_seconds"]
        for item, state in zip(items, states, strict=True)
        if state not in FINAL
    )
    return _job(
        row,
        status_url=path,
        cancel_url=f"{path}/cancel",
        events_url=f"{path}/events?ticket={ticket}",
        queue_position=ahead["items"] if ahead else 0,
        estimated_seconds=math.ceil(waiting + (ahead["seconds"] if ahead else 0)),
        credits=_credits(items, states),
        items=[item_message(item) for item in items],
        succeeded_items=states.count(State.SUCCEEDED),
        failed_items=states.count(State.FAILED),
        canceled_items=states.count(State.CANCELED) + states.count(State.EXPIRED),
        progress=mean_progress(
            (state, item["progress"]) for item, state in zip(items, states, strict=True)
        ),
        poll_after_seconds=0 if row["state"] in FINAL else POLL_AFTER_SECONDS,
    )


def _credits(items: Sequence[Row], states: Sequence[State]) -> pb.Credits:
    """Sums an item's price by what becomes of its hold: that follows from its state."""
    held_at_all = [
        (item["subscription"] + item["purchased"], state)
        for item, state in zip(items, states, strict=True)
    ]
    return pb.Credits(
        quoted=sum(item["credits"] for item in items),
        held=sum(amount for amount, state in held_at_all if state not in FINAL),
        captured=sum(amount for amount, state in held_at_all if state is State.SUCCEEDED),
        released=sum(amount for amount, state in held_at_all if state in FINAL - {State.SUCCEEDED}),
        by_pool=pb.CreditsByPool(
            subscription=sum(item["subscription"] for item in items),
            purchased=sum(item["purchased"] for item in items),
        ),
    )
