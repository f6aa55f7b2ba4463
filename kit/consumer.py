"""Consumers: an event takes effect in one transaction with its inbox row, and so only once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind

from kit import metrics, telemetry
from kit.bus import Bus
from kit.crash import crash_point
from kit.database import Database, Session
from kit.database.session import subject_of
from kit.errors import Unavailable
from kit.identity import system

log = logging.getLogger(__name__)

DELIVERIES_MAX = 20
RETRY_SECONDS_MAX = 30.0

_RECEIVE = """
    INSERT INTO inbox (event_id, subject) VALUES (:id, :subject) ON CONFLICT DO NOTHING
"""
_BURY = """
    INSERT INTO dead_event (event_id, subject, payload, error)
    VALUES (:id, :subject, :payload, :error) ON CONFLICT DO NOTHING
"""

Handler = Callable[[Session, Any], Awaitable[None]]


class Consumer:
    """Runs the handlers of one service, each under the service's own role."""

    def __init__(self, database: Database, bus: Bus, handlers: Mapping[Any, Handler]) -> None:
        self._database = database
        self._bus = bus
        self._identity = system(database.role)
        self._handlers = {subject_of(event): (event, run) for event, run in handlers.items()}

    async def run(self) -> None:
        """Consumes until cancelled."""
        await self._bus.consume(self._database.role, sorted(self._handlers), self._handle)

    async def _handle(self, message: Msg) -> None:
        headers = message.headers or {}
        with telemetry.span(message.subject, SpanKind.CONSUMER, headers):
            event_id = uuid.UUID(headers["Nats-Msg-Id"])
            try:
                await self._take_effect(event_id, message)
            except Exception as error:
                await self._put_back(event_id, message, error)
                return
            crash_point("consume.taken_effect")
            metrics.EVENTS.labels(message.subject, "done").inc()
            await message.ack()

    async def _take_effect(self, event_id: uuid.UUID, message: Msg) -> None:
        event, run = self._handlers[message.subject]
        await self._database.write(self._identity, _once, event_id, message, event, run)

    async def _put_back(self, event_id: uuid.UUID, message: Msg, error: Exception) -> None:
        deliveries = message.metadata.num_delivered
        details = {"subject": message.subject, "event_id": str(event_id), "deliveries": deliveries}
        log.warning("event failed", exc_info=error, extra=details)
        # A server that is away says nothing about the event: only the event's own failures count.
        if deliveries < DELIVERIES_MAX or isinstance(error, Unavailable):
            metrics.EVENTS.labels(message.subject, "retried").inc()
            await message.nak(delay=min(RETRY_SECONDS_MAX, 0.2 * 2**deliveries))
            return
        async with self._database.transaction(self._identity) as session:
            parameters = {"id": event_id, "subject": message.subject, "payload": message.data}
            await session.execute(_BURY, error=repr(error), **parameters)
        metrics.EVENTS.labels(message.subject, "dead").inc()
        await message.term()


async def _once(
    session: Session, event_id: uuid.UUID, message: Msg, event: type[Message], run: Handler
) -> None:
    if await session.execute(_RECEIVE, id=event_id, subject=message.subject):
        await run(session, event.FromString(message.data))
        crash_point("consume.before_commit")
