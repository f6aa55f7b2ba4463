"""What the queue does about events."""

from __future__ import annotations

from atelier.templates.v1 import events_pb2

from kit.database import Session
from services.jobs.queue import store


async def category_changed(session: Session, event: events_pb2.CategoryChanged) -> None:
    """Takes over a category's limits; an older event than the last is ignored."""
    await store.upsert_category(
        session,
        event.category,
        enabled=event.enabled,
        workers_max=event.workers_max,
        revision=event.revision,
    )
