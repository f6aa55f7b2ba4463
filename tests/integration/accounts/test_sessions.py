"""Refresh tokens on a real database."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import AsyncIterator

import pytest

from kit.database import Database
from kit.errors import Unauthenticated
from kit.identity import system
from kit.testing.databases import move_clock
from services.accounts.identity import service, store
from services.accounts.identity.domain import check_sign_up
from services.accounts.identity.sweep import sweeps
from tests.integration.accounts.conftest import Ledger

HOUSE = system("accounts")


@pytest.fixture
async def database(ledger: Ledger) -> AsyncIterator[Database]:
    await move_clock(ledger.owner_url, dt.timedelta())
    async with Database(ledger.serving_url, 4) as opened:
        yield opened
    await move_clock(ledger.owner_url, dt.timedelta())


async def sign_up(database: Database) -> str:
    member = check_sign_up(f"m-{uuid.uuid4().hex[:12]}", "", "correct horse", "", "ko")
    signed_in = await database.write(HOUSE, service.sign_up, member, "member", "hash", 0)
    return signed_in.refresh_token


async def refresh(database: Database, token: str) -> str | None:
    signed_in = await database.write(HOUSE, service.refresh, token)
    return signed_in.refresh_token if signed_in else None


async def test_reuse_of_a_spent_token_revokes_the_whole_family(
    database: Database, ledger: Ledger
) -> None:
    first = await sign_up(database)
    second = await refresh(database, first)
    assert second
    await move_clock(ledger.owner_url, dt.timedelta(seconds=11))
    assert await refresh(database, first) is None, "a thief or a victim uses it again"
    for token in (first, second):
        with pytest.raises(Unauthenticated):
            await refresh(database, token)


async def test_two_tabs_that_refresh_at_once_are_no_theft(database: Database) -> None:
    first = await sign_up(database)
    assert await refresh(database, first)
    assert await refresh(database, first)


async def test_a_session_ends_seven_days_after_its_last_use(
    database: Database, ledger: Ledger
) -> None:
    token = await sign_up(database)
    await move_clock(ledger.owner_url, dt.timedelta(days=6))
    renewed = await refresh(database, token)
    assert renewed
    await move_clock(ledger.owner_url, dt.timedelta(days=12))
    again = await refresh(database, renewed)
    assert again
    await move_clock(ledger.owner_url, dt.timedelta(days=20))
    with pytest.raises(Unauthenticated):
        await refresh(database, again)


async def test_tokens_that_nobody_can_use_are_forgotten_after_a_month(
    database: Database, ledger: Ledger
) -> None:
    sweep = sweeps(database)["sessions"]
    old = await sign_up(database)
    await move_clock(ledger.owner_url, dt.timedelta(days=6))
    kept = await refresh(database, old)
    assert kept
    await move_clock(ledger.owner_url, dt.timedelta(days=31))
    await sweep()
    assert [await is_known(database, token) for token in (old, kept)] == [False, True]
    assert not await sweep()
    await move_clock(ledger.owner_url, dt.timedelta(days=37))
    assert await sweep()
    assert not await is_known(database, kept)


async def is_known(database: Database, token: str) -> bool:
    digest = hashlib.sha256(token.encode()).digest()
    return await database.write(HOUSE, store.lock_token, digest) is not None
