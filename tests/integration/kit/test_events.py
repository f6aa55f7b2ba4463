"""Outbox, relay, inbox: on real PostgreSQL and NATS."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest
from atelier.accounts.v1 import events_pb2

from kit import consumer
from kit.bus import STREAM, Bus
from kit.consumer import Consumer
from kit.database import Database, Session
from kit.database.outbox import Relay
from kit.errors import Unavailable
from kit.identity import system
from kit.process import cancel

HOUSE = system("works")
AGED = (
    """
    INSERT INTO inbox (event_id, subject, received_at)
    VALUES (:id, 's', app_now() - make_interval(days => :days))
    """,
    """
    INSERT INTO idempotency (principal, method, key, fingerprint, created_at)
    VALUES (:id, 'm', 'k', '', app_now() - make_interval(days => :days))
    """,
    """
    INSERT INTO outbox (id, subject, payload, sent_at)
    VALUES (:id, 's', '', app_now() - make_interval(days => :days))
    """,
)


@asynccontextmanager
async def running(*works: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        await asyncio.gather(*(cancel(task) for task in tasks))


class Received:
    """Collects events and says when there are enough."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self._more = asyncio.Condition()

    async def handle(self, session: Session, event: Any) -> None:
        async with self._more:
            self.users.append(event.user_id)
            self._more.notify_all()

    async def wait_for(self, users: set[str]) -> None:
        async with asyncio.timeout(60), self._more:
            await self._more.wait_for(lambda: users <= set(self.users))


async def publish(database: Database, count: int) -> set[str]:
    users = {str(uuid.uuid4()) for _ in range(count)}
    async with database.transaction(HOUSE) as session:
        for user in users:
            await session.publish(events_pb2.MemberCreated(user_id=user, locale="ko"))
    return users


async def publish_and_fail(session: Session, user: str) -> None:
    await session.publish(events_pb2.MemberCreated(user_id=user))
    raise RuntimeError("rolled back")


async def test_what_is_committed_arrives_and_what_is_rolled_back_does_not(
    database: Database, bus: Bus
) -> None:
    received = Received()
    handlers = {events_pb2.MemberCreated: received.handle}
    async with (
        running(Relay(database, bus).run()),
        running(Consumer(database, bus, handlers).run()),
    ):
        ghost = str(uuid.uuid4())
        with pytest.raises(RuntimeError):
            await database.write(HOUSE, publish_and_fail, ghost)
        users = await publish(database, 20)
        await received.wait_for(users)
    assert ghost not in received.users
    assert len(received.users) == len(set(received.users))


async def lose_store(bus: Bus) -> None:
    client = await nats.connect(bus._url)
    await client.jetstream().delete_stream(STREAM)
    await client.close()


async def test_an_event_that_is_sent_twice_takes_effect_once(database: Database, bus: Bus) -> None:
    received = Received()
    handlers = {events_pb2.MemberCreated: received.handle}
    event_id, first = str(uuid.uuid4()), str(uuid.uuid4())
    payload = events_pb2.MemberCreated(user_id=first).SerializeToString()
    async with running(Consumer(database, bus, handlers).run()):
        subject = "evt.accounts.member.created.v1"
        await bus.publish(subject, payload, event_id, {})
        await received.wait_for({first})
        # The broker drops doubles for a while; without its memory only the inbox does.
        await lose_store(bus)
        await bus.last_sequence()
        await bus.publish(subject, payload, event_id, {})
        async with running(Relay(database, bus).run()):
            await received.wait_for(await publish(database, 1))
    assert received.users.count(first) == 1


async def test_what_the_floor_keeps_is_forgotten_by_its_age_and_a_batch_at_a_time(
    database: Database, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.database.outbox.SWEPT_MAX", 2)
    async with database.transaction(HOUSE) as session:
        for days in (40, 35, 31, 29, 8, 6):
            for insert in AGED:
                await session.execute(insert, id=uuid.uuid4(), days=days)
    relay = Relay(database, bus)
    for expected in ([4, 4, 4], [3, 3, 2], [3, 3, 1], [3, 3, 1]):
        await relay._notice_lost_store()
        async with database.transaction(HOUSE) as session:
            tables = ("inbox", "idempotency", "outbox")
            kept = [await session.scalar(f"SELECT count(*) FROM {each}") for each in tables]
        assert kept == expected


async def test_an_event_that_fails_comes_again(database: Database, bus: Bus) -> None:
    received = Received()
    failures = 2

    async def fail_at_first(session: Session, event: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("not yet")
        await received.handle(session, event)

    handlers: dict[Any, Callable[..., Awaitable[None]]] = {events_pb2.MemberCreated: fail_at_first}
    async with (
        running(Relay(database, bus).run()),
        running(Consumer(database, bus, handlers).run()),
    ):
        await received.wait_for(await publish(database, 1))


async def test_a_broker_that_lost_its_store_gets_everything_again(
    database: Database, bus: Bus
) -> None:
    received = Received()
    handlers = {events_pb2.MemberCreated: received.handle}
    async with (
        running(Relay(database, bus).run()),
        running(Consumer(database, bus, handlers).run()),
    ):
        before = await publish(database, 10)
        await received.wait_for(before)
        await lose_store(bus)
        after = await publish(database, 5)
        await received.wait_for(after)
        last = await bus.last_sequence()
        async with asyncio.timeout(60):
            while last < len(before) + len(after):  # everything is in the new stream
                last = await bus.last_sequence()
    assert sorted(received.users) == sorted(before | after), "and took effect once"


async def test_a_loss_is_noticed_also_by_the_first_event_that_follows_it(
    database: Database, bus: Bus
) -> None:
    relay = Relay(database, bus)
    await publish(database, 3)
    assert await relay._send_batch() == 3
    await lose_store(bus)
    await bus.last_sequence()  # somebody made the stream anew before anybody looked
    await publish(database, 1)
    assert await relay._send_batch() == 1
    assert await relay._send_batch() == 4, "everything is sent again"
    assert await relay._send_batch() == 0


async def test_a_loss_is_noticed_also_where_others_have_filled_the_new_stream(
    database: Database, bus: Bus
) -> None:
    await publish(database, 3)
    relay = Relay(database, bus)
    assert await relay._send_batch() == 3
    await lose_store(bus)
    await bus.last_sequence()
    for number in range(8):  # another service was faster
        await bus.publish("evt.jobs.item.started.v1", b"", f"of-another-{number}", {})
    await relay._notice_lost_store()
    assert await relay._send_batch() == 3, "everything is sent again"
    await relay._notice_lost_store()
    assert await relay._send_batch() == 0


async def test_nothing_is_noted_of_a_broker_that_came_back_during_the_sending(
    database: Database, bus: Bus
) -> None:
    await publish(database, 3)
    relay = Relay(database, bus)
    assert await relay._send_batch() == 3
    await lose_store(bus)
    await bus.last_sequence()
    for number in range(8):
        await bus.publish("evt.jobs.item.started.v1", b"", f"of-another-{number}", {})
    users = await publish(database, 1)
    bus._client.stats["reconnects"] += 1  # what a restarted broker does to the connection
    received = Received()
    with pytest.raises(nats.errors.StaleConnectionError):
        await relay._send_batch()
    handlers = {events_pb2.MemberCreated: received.handle}
    async with running(relay.run()), running(Consumer(database, bus, handlers).run()):
        await received.wait_for(users)
        async with asyncio.timeout(60):
            while await bus.last_sequence() < 8 + 1 + 3:  # those that were lost are sent again
                pass


async def test_an_event_is_not_buried_for_a_database_that_is_away(
    database: Database, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "DELIVERIES_MAX", 1)
    received = Received()
    failures = 2

    async def is_away_at_first(session: Session, event: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable("the database cannot be reached")
        await received.handle(session, event)

    handlers: dict[Any, Callable[..., Awaitable[None]]] = {
        events_pb2.MemberCreated: is_away_at_first
    }
    async with (
        running(Relay(database, bus).run()),
        running(Consumer(database, bus, handlers).run()),
    ):
        await received.wait_for(await publish(database, 1))
