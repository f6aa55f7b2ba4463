"""What the ledger does about events."""

from __future__ import annotations

import uuid

from atelier.jobs.v1 import events_pb2

from kit.database import Session
from services.accounts.credits import service
from services.accounts.credits.domain import Outcome


async def item_finished(session: Session, event: events_pb2.ItemFinished) -> None:
    """Settles the hold of a finished item: what was delivered is captured, the rest released."""
    delivered = event.outcome == events_pb2.ITEM_OUTCOME_SUCCEEDED
    outcome = Outcome.CAPTURED if delivered else Outcome.RELEASED
    reason = event.error_code or events_pb2.ItemOutcome.Name(event.outcome).rpartition("_")[2]
    await service.settle(
        session, uuid.UUID(event.job_id), uuid.UUID(event.item_id), outcome, reason.lower()
    )
