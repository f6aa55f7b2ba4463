"""Memory that calls share: never more than there is, in the order in which they came."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.api.budget import Budget
from kit.errors import InvalidArgument

MIB = 1 << 20


async def _held(budget: Budget, size: int, order: list[int], leave: asyncio.Event) -> None:
    async with budget.share(size):
        order.append(size)
        await leave.wait()


async def _turn() -> None:
    """Lets every task go on as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_asks_for_much_is_not_passed_by_those_who_ask_for_little() -> None:
    budget, order, leave = Budget(10), list[int](), asyncio.Event()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(budget.share(6))
        tasks = [asyncio.create_task(_held(budget, size, order, leave)) for size in (8, 1, 2)]
        await _turn()
        assert order == []
    await _turn()
    assert order == [8, 1]
    leave.set()
    await asyncio.gather(*tasks)
    assert order == [8, 1, 2]
    assert budget.bytes_free == 10


async def test_whoever_leaves_the_line_holds_up_nobody_and_loses_nothing() -> None:
    budget, order, leave = Budget(10), list[int](), asyncio.Event()
    async with budget.share(6):
        tasks = [asyncio.create_task(_held(budget, size, order, leave)) for size in (9, 4)]
        await _turn()
        tasks[0].cancel()
        await _turn()
        assert order == [4]
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert budget.bytes_free == 10


async def test_one_that_is_cancelled_as_its_turn_comes_gives_it_back() -> None:
    budget = Budget(10)
    leave = asyncio.Event()
    async with budget.share(10):
        task = asyncio.create_task(_held(budget, 10, [], leave))
        await _turn()
    task.cancel()  # its turn has come, but it has not gone on yet
    await asyncio.gather(task, return_exceptions=True)
    assert budget.bytes_free == 10


async def test_more_than_there_is_means_all_of_it() -> None:
    budget = Budget(10)
    async with budget.share(99) as share:
        assert (share.bytes_max, budget.bytes_free) == (10, 0)
    assert budget.bytes_free == 10


async def test_what_was_not_read_is_free_before_the_call_ends() -> None:
    budget = Budget(10)
    async with budget.share(8) as share:
        share.file("image_key").write(b"abc")
        share.settle()
        assert budget.bytes_free == 7
    assert budget.bytes_free == 10


async def test_files_of_a_call_that_outgrow_its_share_are_refused_by_their_field() -> None:
    async with Budget(3 * MIB).share(2 * MIB) as share:
        share.file("image_key").write(bytes(MIB))
        other = share.file("masks[0].masks[1].object_key")
        other.write(bytes(MIB))
        with pytest.raises(InvalidArgument, match="at most 2 MiB") as refused:
            other.write(b"x")
    assert refused.value.violations[0].field == "masks[0].masks[1].object_key"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=12))
def test_whatever_comes_and_goes_nothing_is_taken_twice(calls: list[tuple[int, bool]]) -> None:
    async def play() -> None:
        budget, held = Budget(10), [0]

        async def call(size: int, settles: bool) -> None:
            async with budget.share(size) as share:
                held[0] += share.bytes_max
                assert held[0] <= 10
                await asyncio.sleep(0)
                held[0] -= share.bytes_max
                if settles:
                    share.settle()

        tasks = [asyncio.create_task(call(*each)) for each in calls]
        for number, task in enumerate(tasks):
            if number % 3 == 0:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert budget.bytes_free == 10

    asyncio.run(play())
