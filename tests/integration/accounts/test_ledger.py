"""The ledger on a real database."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest
from atelier.accounts.v1 import credits_pb2

from kit.database import Database
from kit.errors import NotFound, WrongState
from kit.identity import Identity, Kind, system
from kit.rpc.server import Call
from services.accounts.credits import service, store
from services.accounts.credits.api import CreditsApi
from services.accounts.credits.domain import Grant, HoldSettled, InsufficientCredits, Line, Outcome
from tests.integration.accounts.conftest import Ledger

HOUSE = system("accounts")


@pytest.fixture
async def database(ledger: Ledger) -> AsyncIterator[Database]:
    async with Database(ledger.serving_url, 8) as opened:
        yield opened


@pytest.fixture
async def owner(database: Database) -> uuid.UUID:
    owner_id = uuid.uuid4()
    await database.write(HOUSE, service.open_wallet, owner_id)
    return owner_id


async def give(database: Database, owner: uuid.UUID, amount: int, pool: str) -> None:
    grant = Grant(owner, amount, pool, None, "test", str(uuid.uuid4()))
    await database.write(HOUSE, service.grant, grant)


def lines(*amounts: int) -> list[Line]:
    return [Line(uuid.uuid4(), uuid.uuid4(), amount) for amount in amounts]


async def balance(database: Database, owner: uuid.UUID) -> dict[str, int]:
    return dict(await database.read(HOUSE, store.balance, owner))


async def test_a_hold_takes_subscription_credits_first_and_a_release_gives_them_back(
    database: Database, owner: uuid.UUID
) -> None:
    await give(database, owner, 10, "purchased")
    await give(database, owner, 5, "subscription")
    job, [line] = uuid.uuid4(), lines(8)
    parts = await database.write(HOUSE, service.hold, job, owner, [line])
    assert [(part.pool, part.amount) for part in parts] == [("subscription", 5), ("purchased", 3)]
    assert await balance(database, owner) == {"subscription": 0, "purchased": 7, "held": 8}
    await database.write(HOUSE, service.settle, job, line.item_id, Outcome.RELEASED, "failed")
    assert await balance(database, owner) == {"subscription": 5, "purchased": 10, "held": 0}


async def test_a_hold_is_all_or_nothing(database: Database, owner: uuid.UUID) -> None:
    await give(database, owner, 10, "purchased")
    with pytest.raises(InsufficientCredits) as refused:
        await database.write(HOUSE, service.hold, uuid.uuid4(), owner, lines(6, 6))
    assert refused.value.metadata == {
        "required": "12",
        "available": "10",
        "subscription": "0",
        "purchased": "10",
    }
    assert await balance(database, owner) == {"subscription": 0, "purchased": 10, "held": 0}


async def test_the_same_job_holds_once(database: Database, owner: uuid.UUID) -> None:
    await give(database, owner, 10, "purchased")
    job, wanted = uuid.uuid4(), lines(4)
    holds = [database.write(HOUSE, service.hold, job, owner, wanted) for _ in range(8)]
    answers = await asyncio.gather(*holds)
    assert all(answer == answers[0] for answer in answers)
    assert (await balance(database, owner))["held"] == 4


async def test_many_holds_at_once_never_overspend(database: Database, owner: uuid.UUID) -> None:
    await give(database, owner, 10, "purchased")
    holds = [database.write(HOUSE, service.hold, uuid.uuid4(), owner, lines(3)) for _ in range(10)]
    answers = await asyncio.gather(*holds, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, InsufficientCredits)]
    assert len(refused) == 7
    assert await balance(database, owner) == {"subscription": 0, "purchased": 1, "held": 9}


async def test_the_first_settlement_stands(database: Database, owner: uuid.UUID) -> None:
    await give(database, owner, 10, "purchased")
    job, [line] = uuid.uuid4(), lines(4)
    await database.write(HOUSE, service.hold, job, owner, [line])
    for _ in range(2):
        await database.write(HOUSE, service.settle, job, line.item_id, Outcome.CAPTURED, "")
    with pytest.raises(HoldSettled):
        await database.write(HOUSE, service.settle, job, line.item_id, Outcome.RELEASED, "")
    assert await balance(database, owner) == {"subscription": 0, "purchased": 6, "held": 0}


async def test_a_hold_that_comes_after_its_job_was_given_up_is_refused(
    database: Database, owner: uuid.UUID
) -> None:
    await give(database, owner, 10, "purchased")
    job, [line] = uuid.uuid4(), lines(4)
    await database.write(HOUSE, service.settle, job, line.item_id, Outcome.RELEASED, "canceled")
    with pytest.raises(WrongState):
        await database.write(HOUSE, service.hold, job, owner, [line])
    assert (await balance(database, owner))["held"] == 0


async def test_a_work_is_never_charged_twice(database: Database, owner: uuid.UUID) -> None:
    await give(database, owner, 10, "purchased")
    [line] = lines(4)
    await database.write(HOUSE, service.hold, uuid.uuid4(), owner, [line])
    again = Line(uuid.uuid4(), line.work_id, 4)
    with pytest.raises(Exception, match="hold_work"):
        await database.write(HOUSE, service.hold, uuid.uuid4(), owner, [again])
    assert (await balance(database, owner))["held"] == 4


async def test_entries_cannot_be_changed_even_by_their_owner(ledger: Ledger) -> None:
    connection = await asyncpg.connect(ledger.owner_url)
    try:
        for change in ("UPDATE entry SET amount = 1", "DELETE FROM entry", "TRUNCATE entry"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(change)
    finally:
        await connection.close()


async def test_a_member_sees_only_his_own_wallet_whatever_the_query_asks(
    database: Database, owner: uuid.UUID
) -> None:
    await give(database, owner, 10, "purchased")
    stranger = Identity(Kind.MEMBER, uuid.uuid4())
    seen = await database.read(stranger, store.balance, owner)
    assert dict(seen) == {"subscription": 0, "purchased": 0, "held": 0}


async def test_an_expiry_is_the_moment_that_was_asked_for_wherever_the_service_runs(
    database: Database, owner: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    request = credits_pb2.GrantCreditsRequest(user_id=str(owner), amount=5, reason="test")
    request.expires_at.FromDatetime(expires_at)
    administrator = Identity(Kind.ADMINISTRATOR, uuid.uuid4())
    call = Call(administrator, str(uuid.uuid4()), "request", cast("Any", None))
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    try:
        await CreditsApi(database).GrantCredits(request, call)
    finally:
        monkeypatch.undo()
        time.tzset()
    [lot] = await database.read(HOUSE, store.lots, owner)
    assert lot.expires_at == expires_at


async def test_a_receipt_is_its_owners_even_where_row_level_security_holds_nobody_back(
    database: Database, owner: uuid.UUID
) -> None:
    await give(database, owner, 10, "purchased")
    job = uuid.uuid4()
    await database.write(HOUSE, service.hold, job, owner, lines(3))
    receipt = await database.read(HOUSE, service.receipt, owner, job)
    assert [row["amount"] for row in receipt.holds] == [3]
    with pytest.raises(NotFound):
        await database.read(HOUSE, service.receipt, uuid.uuid4(), job)
