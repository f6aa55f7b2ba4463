"""What projects do about events."""

from __future__ import annotations

import uuid

from atelier.accounts.v1 import events_pb2

from kit.database import Session
from services.works.projects import service


async def member_created(session: Session, event: events_pb2.MemberCreated) -> None:
    """Makes the first project of a new member."""
    await service.ensure_first(session, uuid.UUID(event.user_id), event.locale)
