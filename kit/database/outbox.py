"""The relay: sends what the outbox holds, and sends it again to a broker that lost its store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import nats.errors
from nats.js.errors import Error as JetStreamError

from kit.bus import Bus
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

_TAKE = """
    SELECT id, subject, payload, headers FROM outbox WHERE sent_at IS NULL
    ORDER BY id LIMIT :batch FOR UPDATE SKIP LOCKED
"""
_SENT = "UPDATE outbox SET sent_at = app_now() WHERE id = ANY(:ids)"
_SWEEP = "DELETE FROM outbox WHERE sent_at < app_now() - make_interval(days => :days)"
# Answers are replayed for 30 days, as the API promises; effects have natural keys that stay.
_SWEEP_KEYS = "DELETE FROM idempotency WHERE created_at < app_now() - make_interval(days => :days)"
_RECORD = """
    INSERT INTO relay (stream, last_sequence) VALUES (:stream, :sequence)
    ON CONFLICT (stream) DO UPDATE SET last_sequence = :sequence
"""
# Locks the row, so that replicas send one after another and sequences only grow.
_RECORDED = """
    INSERT INTO relay (stream, last_sequence) VALUES (:stream, 0)
    ON CONFLICT (stream) DO UPDATE SET stream = :stream RETURNING last_sequence
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

    async def run(self) -> None:
        """Sends whenever something was published, and looks every second in any case."""
        check_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            self._database.published.clear()
            try:
                if loop.time() >= check_at:
                    await self._notice_lost_store()
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
            recorded = await session.scalar(_RECORDED, stream=self._bus.stream)
            crash_point("relay.before_publish")
            fresh = [sequence for sequence in await self._publish(rows) if sequence is not None]
            crash_point("relay.published")
            await session.execute(_SENT, ids=[row["id"] for row in rows])
            if fresh and min(fresh) <= recorded:
                await self._send_again(session, max(fresh))
            elif fresh:
                await session.execute(_RECORD, stream=self._bus.stream, sequence=max(fresh))
        return len(rows)

    async def _publish(self, rows: Sequence[Row]) -> list[int | None]:
        sends = [
            self._bus.publish(row["subject"], bytes(row["payload"]), str(row["id"]), row["headers"])
            for row in rows
        ]
        return await asyncio.gather(*sends)

    async def _notice_lost_store(self) -> None:
        """A stream that ends before what it once acknowledged has lost events: send them again."""
        last = await self._bus.last_sequence()
        async with self._database.transaction(self._identity) as session:
            recorded = await session.scalar(_RECORDED, stream=self._bus.stream)
            if last < recorded:
                await self._send_again(session, last)
            await session.execute(_SWEEP, days=RESEND_DAYS)
            await session.execute(_SWEEP_KEYS, days=idempotency.KEPT_DAYS)

    async def _send_again(self, session: Session, last: int) -> None:
        count = await session.execute(_UNSEND, days=RESEND_DAYS)
        await session.execute(_RECORD, stream=self._bus.stream, sequence=last)
        log.warning("the bus lost its store; sending again", extra={"events": count})
