"""Transactions, identities, idempotency keys, the clock."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from atelier.works.v1 import projects_pb2
from sqlalchemy.exc import DBAPIError

from kit.crowds import crowding
from kit.database import Database, ReadSession, Session, engine, idempotency
from kit.database.migrations import migrate
from kit.errors import IdempotencyKeyInUse, IdempotencyKeyReused, Unavailable
from kit.identity import Identity, Kind, system
from kit.testing.databases import move_clock
from services.works.projects import service, store
from services.works.projects.domain import NewProject
from tests.databases import Urls

HOUSE = system("works")
PROJECT = NewProject("카페", "", "", "ko")


def member() -> Identity:
    return Identity(Kind.MEMBER, uuid.uuid4())


async def test_a_row_of_another_is_not_seen_even_without_a_filter(database: Database) -> None:
    owner, other = member(), member()
    row = await database.write(owner, service.create, owner.user, PROJECT)
    mine = await database.read(owner, store.one, owner.user, row["id"])
    assert mine is not None
    async with database.transaction(other) as session:
        assert await session.all("SELECT id FROM project") == []
        assert await session.execute("UPDATE project SET name = 'x'") == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        await database.write(other, service.create, owner.user, PROJECT)


async def test_an_identity_does_not_leak_into_the_next_transaction(database: Database) -> None:
    owner = member()
    await database.write(owner, service.create, owner.user, PROJECT)
    async with database.transaction(HOUSE) as session:
        assert len(await session.all("SELECT id FROM project")) == 1
    for _ in range(20):  # every connection of the pool
        async with database.transaction(Identity(Kind.NOBODY)) as session:
            assert await session.all("SELECT id FROM project") == []


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only"):
        await database.read(HOUSE, service.create, uuid.uuid4(), PROJECT)  # type: ignore[arg-type]


async def test_a_deadlock_is_tried_again(database: Database) -> None:
    owner = uuid.uuid4()
    ids = [(await database.write(HOUSE, service.create, owner, PROJECT))["id"] for _ in range(2)]
    both_hold_one = asyncio.Barrier(2)
    met = {0: False, 1: False}

    async def lock_both(session: Session, me: int) -> None:
        lock = "UPDATE project SET description = :me WHERE id = :id"
        await session.execute(lock, id=ids[me], me=str(me))
        if not met[me]:
            met[me] = True
            await both_hold_one.wait()
        await session.execute(lock, id=ids[1 - me], me=str(me))

    await asyncio.gather(*(database.write(HOUSE, lock_both, me) for me in range(2)))


async def test_time_moves_only_by_the_owners_hand(database: Database, urls: Urls) -> None:
    async with database.transaction(HOUSE) as session:
        before = await session.now()
    await move_clock(urls.owner, dt.timedelta(days=3))
    async with database.transaction(HOUSE) as session:
        assert await session.now() - before >= dt.timedelta(days=3)
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute("UPDATE clock SET shift = '1 day'")


async def test_one_key_at_once_is_taken_once(database: Database) -> None:
    request = projects_pb2.CreateProjectRequest(name="x")
    key = idempotency.Key.of(uuid.uuid4(), "Create", "k", request)
    answer = projects_pb2.Project(name="answer")
    made = 0

    async def use(session: Session) -> projects_pb2.Project:
        nonlocal made
        before = await idempotency.begin(session, key, projects_pb2.Project)
        if before is not None:
            return before
        made += 1
        await idempotency.finish(session, key, answer)
        return answer

    answers = await asyncio.gather(*(database.write(HOUSE, use) for _ in range(20)))
    assert (made, {each.name for each in answers}) == (1, {"answer"})
    other = projects_pb2.CreateProjectRequest(name="y")
    reused = idempotency.Key.of(key.principal, "Create", "k", other)
    with pytest.raises(IdempotencyKeyReused):
        await database.write(HOUSE, idempotency.begin, reused, projects_pb2.Project)


async def test_a_refusal_frees_its_key(database: Database) -> None:
    request = projects_pb2.CreateProjectRequest(name="x")
    key = idempotency.Key.of(uuid.uuid4(), "Create", "k", request)
    assert await database.write(HOUSE, idempotency.begin, key, projects_pb2.Project) is None
    with pytest.raises(IdempotencyKeyInUse):
        await database.write(HOUSE, idempotency.begin, key, projects_pb2.Project)
    await database.write(HOUSE, idempotency.free, key)
    assert await database.write(HOUSE, idempotency.begin, key, projects_pb2.Project) is None


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(
    urls: Urls, tmp_path: Path
) -> None:
    file = tmp_path / "0002_more.sql"
    file.write_text("CREATE TABLE more (id int)")
    assert await migrate(urls.owner, "works", tmp_path) == ["0002_more.sql"]
    assert await migrate(urls.owner, "works", tmp_path) == []
    file.write_text("CREATE TABLE more (id bigint)")
    with pytest.raises(RuntimeError, match="was changed"):
        await migrate(urls.owner, "works", tmp_path)


async def test_a_migration_that_fails_leaves_nothing(urls: Urls, tmp_path: Path) -> None:
    (tmp_path / "0002_half.sql").write_text("CREATE TABLE half (id int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(urls.owner, "works", tmp_path)
    connection = await asyncpg.connect(urls.owner)
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    await connection.close()


async def _end_own_connection(session: Session) -> None:
    await session.scalar("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_server_that_ends_our_connection_is_away_and_then_back(database: Database) -> None:
    with pytest.raises(Unavailable) as refused:
        await database.write(member(), _end_own_connection)
    assert refused.value.retry_after_seconds
    assert await database.read(HOUSE, ReadSession.now)


async def test_connections_of_a_server_that_has_gone_are_not_used(
    database: Database, urls: Urls
) -> None:
    async def five() -> None:
        await asyncio.gather(*(database.read(HOUSE, ReadSession.now) for _ in range(5)))

    await five()
    admin = await asyncpg.connect(urls.admin)
    try:
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1"
        assert await admin.fetchval(ended, "works") >= 5
    finally:
        await admin.close()
    await five()
    assert await database.write(member(), ReadSession.now)


async def test_who_gets_no_connection_in_time_is_told_to_come_back(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "POOL_SECONDS", 0.2)
    async with Database(urls.serving, 1) as small, small.transaction(HOUSE):
        with pytest.raises(Unavailable):
            await small.read(HOUSE, ReadSession.now)


async def test_who_looks_does_not_wait_behind_a_crowd_that_waits_for_a_lock(urls: Urls) -> None:
    holder = await asyncpg.connect(urls.serving)
    await holder.execute("SELECT pg_advisory_lock(1)")
    async with Database(urls.serving, 4) as small:
        with crowding(True):
            crowd = [asyncio.create_task(small.write(HOUSE, _wait_for_lock)) for _ in range(9)]
        await asyncio.sleep(0)  # each of them asks for its connection
        assert await small.read(HOUSE, ReadSession.now)
        assert not any(each.done() for each in crowd)
        await holder.close()
        await asyncio.gather(*crowd)


async def _wait_for_lock(session: Session) -> None:
    await session.scalar("SELECT pg_advisory_xact_lock(1)")


async def test_a_crowd_waits_for_its_turn_as_long_as_for_a_connection(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "POOL_SECONDS", 0.2)
    async with Database(urls.serving, 4) as small:
        with crowding(True):
            async with AsyncExitStack() as turns:
                for _ in range(3):
                    await turns.enter_async_context(small.transaction(HOUSE))
                with pytest.raises(Unavailable):
                    await small.read(HOUSE, ReadSession.now)
            assert await small.read(HOUSE, ReadSession.now)


async def test_a_fault_of_ours_is_not_called_an_absence(database: Database) -> None:
    async def asks_nonsense(session: Session) -> None:
        await session.scalar("SELECT no_such_column")

    with pytest.raises(DBAPIError):
        await database.write(HOUSE, asks_nonsense)
