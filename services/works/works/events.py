"""What works do about events."""

from __future__ import annotations

import uuid
from typing import Any

from atelier.jobs.v1 import events_pb2, queue_pb2

from kit.database import Session
from services.works.works import service

# How a work ends when its item does; an expired submission was never executed.
_STATE = {
    events_pb2.ITEM_OUTCOME_FAILED: "failed",
    events_pb2.ITEM_OUTCOME_CANCELED: "canceled",
    events_pb2.ITEM_OUTCOME_EXPIRED: "canceled",
}


async def item_started(session: Session, event: events_pb2.ItemStarted) -> None:
    """Shows that a work is being made."""
    await service.start(session, uuid.UUID(event.work_id))


async def item_finished(session: Session, event: events_pb2.ItemFinished) -> None:
    """Fills a work with what its item delivered, or says why nothing came."""
    work_id = uuid.UUID(event.work_id)
    if event.outcome != events_pb2.ITEM_OUTCOME_SUCCEEDED:
        await service.end(session, work_id, _STATE[event.outcome], event.error_code)
        return
    delivery = event.delivery
    thumbnail = _file(delivery.thumbnail) if delivery.HasField("thumbnail") else None
    await service.complete(session, work_id, _file(delivery.file), thumbnail, delivery.recipe_json)


def _file(artifact: queue_pb2.Artifact) -> dict[str, Any]:
    return {field.name: getattr(artifact, field.name) for field in artifact.DESCRIPTOR.fields}
