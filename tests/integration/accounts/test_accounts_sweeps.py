"""Holds without an end are asked after; lots lapse once, whoever sweeps."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid

import asyncpg
from atelier.accounts.v1 import events_pb2

from kit.database import Database, ReadSession
from services.accounts.credits import service
from services.accounts.credits.domain import Grant, Outcome
from tests.integration.accounts.conftest import Ledger
from tests.integration.accounts.test_ledger import (
    HOUSE,
    balance,
    database,
    give,
    lines,
    owner,
)

__all__ = ["database", "owner"]
LONG_SECONDS, OVER_SECONDS = 3_600.0, -1.0


async def overdue(database: Database, job_id: uuid.UUID) -> list[events_pb2.HoldOverdue]:
    async def read(session: ReadSession) -> list[events_pb2.HoldOverdue]:
        rows = await session.all(
            "SELECT payload FROM outbox WHERE subject = 'evt.accounts.hold.overdue.v1' ORDER BY id"
        )
        asked = [events_pb2.HoldOverdue.FromString(bytes(row["payload"])) for row in rows]
        return [event for event in asked if event.job_id == str(job_id)]

    return await database.read(HOUSE, read)


async def lapse_now(ledger: Ledger, owner: uuid.UUID) -> None:
    """Lets the time of every lot of an owner be over."""
    connection = await asyncpg.connect(ledger.admin_url)
    try:
        over = "UPDATE accounts.lot SET expires_at = clock_timestamp() WHERE owner_id = $1"
        await connection.execute(over, owner)
    finally:
        await connection.close()


async def test_an_open_hold_is_asked_after_once_per_period(
    database: Database, owner: uuid.UUID
) -> None:
    await give(database, owner, 30, "purchased")
    job, (kept, ended) = uuid.uuid4(), lines(10, 10)
    await database.write(HOUSE, service.hold, job, owner, [kept, ended])
    await database.write(HOUSE, service.settle, job, ended.item_id, Outcome.RELEASED, "canceled")
    await database.write(HOUSE, service.ask_after_holds, LONG_SECONDS)
    assert await overdue(database, job) == []
    sweeps = [database.write(HOUSE, service.ask_after_holds, OVER_SECONDS) for _ in range(2)]
    await asyncio.gather(*sweeps)
    assert {event.item_id for event in await overdue(database, job)} == {str(kept.item_id)}
    asked = len(await overdue(database, job))
    await database.write(HOUSE, service.ask_after_holds, LONG_SECONDS)
    assert len(await overdue(database, job)) == asked


async def test_two_sweepers_lapse_a_lot_once(
    database: Database, owner: uuid.UUID, ledger: Ledger
) -> None:
    async def now(session: ReadSession) -> dt.datetime:
        return await session.now()

    later = await database.read(HOUSE, now) + dt.timedelta(hours=1)
    for key in range(5):
        given = Grant(owner, 7, "subscription", later, "test", f"{owner}:{key}")
        await database.write(HOUSE, service.grant, given)
    assert (await balance(database, owner))["subscription"] == 35
    await lapse_now(ledger, owner)

    async def entries(session: ReadSession) -> int:
        counted = await session.scalar(
            "SELECT count(*) FROM entry WHERE owner_id = :owner AND kind = 'expire' "
            "AND account = 'lot'",
            owner=owner,
        )
        return int(counted)

    async with asyncio.timeout(60):
        while await database.read(HOUSE, entries) < 5:
            await asyncio.gather(*(database.write(HOUSE, service.lapse) for _ in range(4)))
    await asyncio.gather(*(database.write(HOUSE, service.lapse) for _ in range(4)))
    assert await database.read(HOUSE, entries) == 5
    assert (await balance(database, owner))["subscription"] == 0
