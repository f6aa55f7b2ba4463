"""What the outbox adds: from an event's transaction to its effect in another service.

A relay in this process sends, the works process consumes; both times are PostgreSQL's own. Once
with one event at a time, once with ten.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import asyncpg
from atelier.accounts.v1 import events_pb2

import services.accounts
from deploy.local import layout, postgres, stack
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.bus import Bus
from kit.database import Database, Session
from kit.database.migrations import migrate
from kit.database.outbox import Relay
from kit.identity import system
from tests.bench.record import Record
from tests.studio import eventually

EVENTS = int(os.environ.get("BENCH_OPERATIONS", "300"))
HOUSE = system("accounts")
_LATENCY = """
    SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(epoch FROM inbox.received_at - outbox.created_at) * 1000)
    FROM accounts.outbox JOIN works.inbox ON inbox.event_id = outbox.id
    WHERE outbox.created_at >= $1
"""
_RECEIVED = "SELECT count(*) FROM works.inbox"


async def bench() -> list[Record]:
    data = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    try:
        async with Supervisor(places.logs) as supervisor:
            await stack.start_stores(supervisor, places)
            await supervisor.start([stack.service_part(places, "works", {})])
            return await _relayed(places)
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


async def _relayed(places: Layout) -> list[Record]:
    folder = Path(services.accounts.__file__).parent / "migrations"
    await migrate(places.database_url("accounts_owner"), "accounts", folder)
    admin = await asyncpg.connect(postgres.admin_url(places, "atelier"))
    async with (
        Database(places.database_url("accounts"), 4) as database,
        Bus(f"nats://{places.address('nats')}", "accounts") as bus,
    ):
        relaying = asyncio.create_task(Relay(database, bus).run())
        try:
            alone = await _latency(admin, database, at_once=1)
            steady = await _latency(admin, database, at_once=10)
        finally:
            relaying.cancel()
            await admin.close()
    return [
        Record(f"outbox to consumer, {load}, {share}", milliseconds, "ms")
        for load, found in (("one at a time", alone), ("ten at a time", steady))
        for share, milliseconds in zip(("p50", "p95"), found, strict=True)
    ]


async def _latency(admin: asyncpg.Connection, database: Database, at_once: int) -> list[float]:
    """Publishes so many events at once, waits until they took effect, and again."""
    began = await admin.fetchval("SELECT clock_timestamp()")
    received = await admin.fetchval(_RECEIVED)
    for done in range(at_once, EVENTS + 1, at_once):
        await asyncio.gather(*(database.write(HOUSE, _publish) for _ in range(at_once)))

        async def arrived(wanted: int = received + done) -> bool:
            return bool(await admin.fetchval(_RECEIVED) >= wanted)

        await eventually(arrived)
    return [float(each) for each in await admin.fetchval(_LATENCY, began)]


async def _publish(session: Session) -> None:
    await session.publish(events_pb2.MemberCreated(user_id=str(uuid.uuid4()), locale="ko"))
