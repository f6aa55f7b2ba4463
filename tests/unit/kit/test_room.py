"""Places for calls: bounded by kind, and given back."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack

import pytest

from kit.crowds import is_in_crowd
from kit.identity import Identity, Kind, system
from kit.rpc.contract import Policy
from kit.rpc.room import Overloaded, Room

MEMBER = Identity(Kind.MEMBER, uuid.uuid4())
READ = Policy(Kind.MEMBER, "", False, False, "read", 200, "")
SUBMIT = Policy(Kind.MEMBER, "", True, True, "submit", 202, "")


def test_what_exceeds_a_kind_is_refused_with_a_delay_and_other_kinds_go_on() -> None:
    room = Room(calls_max=2, streams_max=1)
    with ExitStack() as taken:
        for _ in range(2):
            taken.enter_context(room.call(SUBMIT, MEMBER))
        with pytest.raises(Overloaded) as refused, room.call(SUBMIT, MEMBER):
            pass
        assert refused.value.retry_after_seconds
        with room.call(READ, MEMBER), room.call(READ, system("worker")):
            pass
    with room.call(SUBMIT, MEMBER):
        pass


def test_only_a_write_of_a_user_is_one_of_a_crowd() -> None:
    room = Room(calls_max=1, streams_max=1)
    for policy, identity, is_crowd in (
        (SUBMIT, MEMBER, True),
        (READ, MEMBER, False),
        (SUBMIT, system("worker"), False),
    ):
        with room.call(policy, identity):
            assert is_in_crowd() is is_crowd
    assert not is_in_crowd()


async def test_closing_ends_what_users_follow_and_lets_services_come_to_their_result() -> None:
    room = Room(calls_max=1, streams_max=2)
    result = asyncio.Event()

    async def follow(identity: Identity) -> str:
        with room.stream(identity):
            await result.wait()
        return "result"

    user = asyncio.create_task(follow(MEMBER))
    service = asyncio.create_task(follow(system("worker")))
    await asyncio.sleep(0)
    room.close()
    result.set()
    assert await service == "result"
    with pytest.raises(asyncio.CancelledError):
        await user
