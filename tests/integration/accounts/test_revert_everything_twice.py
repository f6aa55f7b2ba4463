"""Many movements at once, then all of them taken back twice at once: nothing has happened."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from kit.database import Database, ReadSession, Session
from kit.identity import system
from services.accounts.credits import service
from services.accounts.credits.domain import Grant, InsufficientCredits, Line, Outcome
from tests.integration.accounts.conftest import Ledger

HOUSE = system("accounts")
WALLETS, MOVEMENTS, TASKS = 80, 500, 20
_LOTS = "SELECT id, remaining FROM lot WHERE owner_id = ANY(:owners) ORDER BY id"
_SETTLED = """
    SELECT kind, count(*) FROM accounts.entry
    WHERE owner_id = ANY($1) AND account = 'lot' GROUP BY kind
"""
_SUM = "SELECT sum(amount) FROM accounts.entry"


@pytest.fixture
async def database(ledger: Ledger) -> AsyncIterator[Database]:
    async with Database(ledger.serving_url, TASKS) as opened:
        yield opened


async def lots(database: Database, owners: list[uuid.UUID]) -> dict[uuid.UUID, int]:
    async def read(session: ReadSession) -> dict[uuid.UUID, int]:
        rows = await session.all(_LOTS, owners=owners)
        return {row["id"]: row["remaining"] for row in rows}

    return await database.read(HOUSE, read)


async def furnish(session: Session, owners: list[uuid.UUID], chance: random.Random) -> None:
    for owner in owners:
        await service.open_wallet(session, owner)
        for pool in ("subscription", "purchased"):
            amount = chance.randint(5, 60)
            given = Grant(owner, amount, pool, None, "test", str(uuid.uuid4()))
            await service.grant(session, given)


async def test_everything_reverted_twice_leaves_every_lot_as_it_was(
    ledger: Ledger, database: Database
) -> None:
    chance = random.Random(4)
    owners = [uuid.uuid4() for _ in range(WALLETS)]
    await database.write(HOUSE, furnish, owners, chance)
    before = await lots(database, owners)
    held: list[tuple[uuid.UUID, Line]] = []

    async def move() -> None:
        for _ in range(MOVEMENTS // TASKS):
            prices = [chance.randint(0, 12) for _ in range(chance.randint(1, 3))]
            lines = [Line(uuid.uuid4(), uuid.uuid4(), price) for price in prices]
            job, owner = uuid.uuid4(), chance.choice(owners)
            try:
                await database.write(HOUSE, service.hold, job, owner, lines)
            except InsufficientCredits:
                continue
            held.extend((job, line) for line in lines)

    await asyncio.gather(*(move() for _ in range(TASKS)))
    moved = await lots(database, owners)
    assert sum(before.values()) - sum(moved.values()) == sum(line.amount for _, line in held) > 0

    twice = [each for each in held for _ in range(2)]
    chance.shuffle(twice)

    async def release() -> None:
        while twice:
            job, line = twice.pop()
            await database.write(
                HOUSE, service.settle, job, line.item_id, Outcome.RELEASED, "reverted"
            )

    await asyncio.gather(*(release() for _ in range(TASKS)))
    assert await lots(database, owners) == before
    connection = await asyncpg.connect(ledger.admin_url)
    try:
        kinds = Counter(dict(await connection.fetch(_SETTLED, owners)))
        assert kinds["release"] == kinds["hold"] > 0
        assert await connection.fetchval(_SUM) == 0
    finally:
        await connection.close()
