"""The relay: sends what the outbox holds, and sends it again to a broker that lost its store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import nats.errors
from nats.js.errors import Error as JetStreamError

from kit.bus import Bus, Span
from kit.crash import crash_point
from kit.database import idempotency
from kit.database.engine import Database
from kit.database.session import Row, Session
from kit.identity import system

log = logging.getLogger(__name__)

BATCH_MAX = 256
IDLE_SECONDS = 1.0
CHECK_SECONDS = 5.0
RESEND_DAYS = 7
INBOX_DAYS = 30
SWEPT_MAX = 10_000

_TAKE = """
    SELECT id, subject, payload, headers FROM outbox WHERE sent_at IS NULL
    ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
"""
_SENT = "UPDATE outbox SET sent_at = app_now() WHERE id = ANY(:ids)"
# What is old goes a batch at a time: a service that stood still for days has more than one
# statement may take, and until it has ended nothing is sent. Answers are replayed for 30 days, as
# the API promises; as long an event is known that comes again, though its effect has a natural key.
_SWEEP = """
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE sent_at < app_now() - make_interval(days => :days)
        ORDER BY sent_at LIMIT :limit)
"""
_SWEEP_KEYS = """
    DELETE FROM idempotency WHERE (principal, method, key) IN (
        SELECT principal, method, key FROM idempotency
        WHERE created_at < app_now() - make_interval(days => :days)
        ORDER BY created_at LIMIT :limit)
"""
_SWEEP_INBOX = """
    DELETE FROM inbox WHERE event_id IN (
        SELECT event_id FROM inbox WHERE received_at < app_now() - make_interval(days => :days)
        ORDER BY received_at LIMIT :limit)
"""
_RECORD = """
    UPDATE relay SET last_sequence = :sequence, last_event = :event WHERE stream = :stream
"""
# Locks the row, so that replicas send one after another and sequences only grow.
_RECORDED = """
    INSERT INTO relay (stream, last_sequence) VALUES (:stream, 0)
    ON CONFLICT (stream) DO UPDATE SET stream = :stream RETURNING last_sequence, last_event
"""
_UNSEND = """
    UPDATE outbox SET sent_at = NULL
    WHERE sent_at > app_now() - make_interval(days => :days)
"""


class Relay:
    """Moves events from a service's outbox to the bus until it is cancelled."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._identity = system(database.role)
        self._connection = bus.connections

    async def run(self) -> None:
        """Sends whenever something was published, and looks every second in any case."""
        check_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            self._database.published.clear()
            try:
                if loop.time() >= check_at or self._connection != self._bus.connections:
                    connection = self._bus.connections
                    await self._notice_lost_store()
                    self._connection = connection
                    check_at = loop.time() + CHECK_SECONDS
                while await self._send_batch() == BATCH_MAX:
                    pass
            except (nats.errors.Error, JetStreamError, OSError, TimeoutError) as error:
                log.warning("relay waits for the bus", extra={"error": repr(error)})
            except Exception:
                log.exception("relay failed; it goes on")
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._database.published.wait()
        except TimeoutError:
            pass

    async def _send_batch(self) -> int:
        async with self._database.transaction(self._identity) as session:
            rows = await session.all(_TAKE, batch=BATCH_MAX)
            if not rows:
                return 0
            recorded = await session.one(_RECORDED, stream=self._bus.stream)
            crash_point("relay.before_publish")
            fresh = await self._publish(rows)
            crash_point("relay.published")
            if self._connection != self._bus.connections:
                # To a broker that may have lost its store: that is looked at before we note more.
                raise nats.errors.StaleConnectionError
            await session.execute(_SENT, ids=[row["id"] for row in rows])
            if fresh and min(fresh) <= recorded["last_sequence"]:
                await self._send_again(session, max(fresh))
            elif fresh:
                await self._record(session, max(fresh), fresh[max(fresh)])
        crash_point("relay.sent")
        return len(rows)

    async def _publish(self, rows: Sequence[Row]) -> dict[int, str]:
        """Sends events; returns those that the broker had not, by their sequences."""
        ids = [str(row["id"]) for row in rows]
        sends = [
            self._bus.publish(row["subject"], bytes(row["payload"]), event_id, row["headers"])
            for row, event_id in zip(rows, ids, strict=True)
        ]
        sequences = await asyncio.gather(*sends)
        return {
            sequence: event_id
            for sequence, event_id in zip(sequences, ids, strict=True)
            if sequence is not None
        }

    async def _notice_lost_store(self) -> None:
        """A stream without the event that it acknowledged last has lost events: send them again."""
        span = await self._bus.span()
        async with self._database.transaction(self._identity) as session:
            recorded = await session.one(_RECORDED, stream=self._bus.stream)
            if await self._is_lost(span, recorded["last_sequence"], recorded["last_event"]):
                await self._send_again(session, span.last)
            await session.execute(_SWEEP, days=RESEND_DAYS, limit=SWEPT_MAX)
            await session.execute(_SWEEP_KEYS, days=idempotency.KEPT_DAYS, limit=SWEPT_MAX)
            await session.execute(_SWEEP_INBOX, days=INBOX_DAYS, limit=SWEPT_MAX)

    async def _is_lost(self, span: Span, sequence: int, event_id: str) -> bool:
        if span.last < sequence:
            return True
        if not event_id or sequence < span.first:  # nothing was sent since, or it has aged out
            return False
        return await self._bus.event_at(sequence) != event_id

    async def _record(self, session: Session, sequence: int, event_id: str) -> None:
        await session.execute(_RECORD, stream=self._bus.stream, sequence=sequence, event=event_id)

    async def _send_again(self, session: Session, last: int) -> None:
        count = await session.execute(_UNSEND, days=RESEND_DAYS)
        await self._record(session, last, "")
        log.warning("the bus lost its store; sending again", extra={"events": count})
        crash_point("relay.unsent")
