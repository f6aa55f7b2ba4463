"""API keys on a real database."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from kit import api_keys
from kit.database import Database, Row
from kit.errors import InvalidArgument, NotFound
from kit.identity import Identity, Kind, system
from kit.paging import PageRequest
from kit.testing.databases import move_clock
from services.accounts.identity import service as identity
from services.accounts.identity.domain import check_sign_up
from services.accounts.keys import service, store
from services.accounts.keys.domain import KEYS_MAX, TooManyApiKeys
from tests.integration.accounts.conftest import Ledger

HOUSE = system("accounts")
SCOPES = ["jobs:write", "works:read"]
EVERYTHING = PageRequest.of(100, "")


@pytest.fixture
async def database(ledger: Ledger) -> AsyncIterator[Database]:
    await move_clock(ledger.owner_url, dt.timedelta())
    async with Database(ledger.serving_url, 8) as opened:
        yield opened
    await move_clock(ledger.owner_url, dt.timedelta())


@pytest.fixture
async def member(database: Database) -> Identity:
    return await sign_up(database)


async def sign_up(database: Database) -> Identity:
    asked = check_sign_up(f"m-{uuid.uuid4().hex[:12]}", "", "correct horse", "", "ko")
    signed_in = await database.write(HOUSE, identity.sign_up, asked, "member", "hash", 0)
    return Identity(Kind.MEMBER, signed_in.user["id"])


async def create(
    database: Database, member: Identity, expires_at: dt.datetime | None = None
) -> service.Made:
    return await database.write(member, service.create, member.user, "a server", SCOPES, expires_at)


async def exchange(database: Database, secret: str) -> Row:
    return await database.write(HOUSE, service.exchange, secret)


async def keys(database: Database, member: Identity) -> list[Row]:
    page = await database.read(member, store.page, member.user, EVERYTHING)
    return list(page.rows)


async def execute(ledger: Ledger, sql: str, *values: object) -> None:
    connection = await asyncpg.connect(ledger.admin_url)
    try:
        await connection.execute(sql, *values)
    finally:
        await connection.close()


async def test_a_key_stands_for_its_member_and_its_scopes(
    database: Database, member: Identity
) -> None:
    made = await create(database, member)
    assert api_keys.is_well_formed(made.secret)
    found = await exchange(database, made.secret)
    assert (found["user_id"], found["scopes"]) == (member.user, SCOPES)


async def test_the_secret_is_kept_nowhere(
    database: Database, member: Identity, ledger: Ledger
) -> None:
    made = await create(database, member)
    connection = await asyncpg.connect(ledger.admin_url)
    try:
        rows = await connection.fetch("SELECT api_key::text AS row FROM accounts.api_key")
    finally:
        await connection.close()
    assert rows
    body = made.secret.removeprefix(made.row["prefix"])
    assert not [row for row in rows if body in row["row"] or body[:12] in row["row"]]


async def test_an_unknown_key_is_refused(database: Database) -> None:
    with pytest.raises(api_keys.ApiKeyUnknown):
        await exchange(database, api_keys.encode(bytes(32)))


async def test_a_revoked_key_is_refused_and_revoking_again_changes_nothing(
    database: Database, member: Identity
) -> None:
    made = await create(database, member)
    await database.write(member, service.revoke, member.user, made.row["id"])
    [first] = await keys(database, member)
    await database.write(member, service.revoke, member.user, made.row["id"])
    [again] = await keys(database, member)
    assert (again["state"], again["revoked_at"]) == ("revoked", first["revoked_at"])
    with pytest.raises(api_keys.ApiKeyRevoked):
        await exchange(database, made.secret)


async def test_a_key_ends_at_its_time(database: Database, member: Identity, ledger: Ledger) -> None:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    made = await create(database, member, ends)
    await move_clock(ledger.owner_url, dt.timedelta(days=29))
    await exchange(database, made.secret)
    await move_clock(ledger.owner_url, dt.timedelta(days=31))
    with pytest.raises(api_keys.ApiKeyExpired):
        await exchange(database, made.secret)
    [seen] = await keys(database, member)
    assert seen["state"] == "expired"


@pytest.mark.parametrize("days", [-1, 367])
async def test_an_expiry_in_the_past_or_too_far_away_is_refused(
    database: Database, member: Identity, days: int
) -> None:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    with pytest.raises(InvalidArgument) as refused:
        await create(database, member, ends)
    assert [each.field for each in refused.value.violations] == ["expires_at"]


@pytest.mark.parametrize("scopes", [[], ["jobs:all"], ["jobs:read", "jobs:read"]])
async def test_scopes_are_some_of_those_that_exist_each_once(
    database: Database, member: Identity, scopes: list[str]
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await database.write(member, service.create, member.user, " ", scopes, None)
    assert [each.field for each in refused.value.violations] == ["name", "scopes"]


async def test_the_last_use_is_noted_coarsely(
    database: Database, member: Identity, ledger: Ledger
) -> None:
    made = await create(database, member)
    noted = []
    for minutes in (0, 1, 9, 11):
        await move_clock(ledger.owner_url, dt.timedelta(minutes=minutes))
        await exchange(database, made.secret)
        [seen] = await keys(database, member)
        noted.append(seen["last_used_at"])
    assert made.row["last_used_at"] is None
    assert noted[0] == noted[1] == noted[2] < noted[3]


async def test_a_key_of_a_suspended_member_stops_and_one_of_a_deleted_member_is_gone(
    database: Database, member: Identity, ledger: Ledger
) -> None:
    made = await create(database, member)
    suspend = "UPDATE accounts.users SET suspended_at = now() WHERE id = $1"
    await execute(ledger, suspend, member.user)
    with pytest.raises(api_keys.AccountSuspended):
        await exchange(database, made.secret)
    for table, column in (("refresh_token", "user_id"), ("users", "id")):
        await execute(ledger, f"DELETE FROM accounts.{table} WHERE {column} = $1", member.user)
    with pytest.raises(api_keys.ApiKeyUnknown):
        await exchange(database, made.secret)


async def test_a_key_of_somebody_else_is_not_seen_and_not_revoked(
    database: Database, member: Identity
) -> None:
    made = await create(database, member)
    other = await sign_up(database)
    assert await keys(database, other) == []
    with pytest.raises(NotFound):
        await database.write(other, service.revoke, other.user, made.row["id"])
    await exchange(database, made.secret)


async def test_however_many_are_made_at_once_a_member_has_no_more_than_the_limit(
    database: Database, member: Identity
) -> None:
    made = await asyncio.gather(
        *(create(database, member) for _ in range(KEYS_MAX + 4)), return_exceptions=True
    )
    refused = [each for each in made if isinstance(each, TooManyApiKeys)]
    assert len(refused) == 4
    assert len(await keys(database, member)) == KEYS_MAX
    [first, *_] = [each for each in made if isinstance(each, service.Made)]
    await database.write(member, service.revoke, member.user, first.row["id"])
    await create(database, member)


async def test_a_key_that_has_ended_makes_room_for_another(
    database: Database, member: Identity, ledger: Ledger
) -> None:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    for _ in range(KEYS_MAX):
        await create(database, member, ends)
    with pytest.raises(TooManyApiKeys):
        await create(database, member)
    await move_clock(ledger.owner_url, dt.timedelta(days=2))
    await create(database, member)
