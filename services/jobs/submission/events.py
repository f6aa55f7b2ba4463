"""What submissions do about events."""

from __future__ import annotations

import uuid

from atelier.accounts.v1 import events_pb2
from atelier.jobs.v1 import events_pb2 as jobs_events

from kit.database import Session
from services.jobs.queue import store as queue
from services.jobs.settle import tell_again


async def hold_overdue(session: Session, event: events_pb2.HoldOverdue) -> None:
    """Tells the end of an item again; that of an item which does not exist is ``expired``."""
    item = await queue.item(session, uuid.UUID(event.item_id))
    if item is not None:
        await tell_again(session, item)
        return
    await session.publish(
        jobs_events.ItemFinished(
            item_id=event.item_id,
            job_id=event.job_id,
            work_id=event.work_id,
            outcome=jobs_events.ITEM_OUTCOME_EXPIRED,
        )
    )
