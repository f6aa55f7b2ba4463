"""A sweep that fails harms no other, and everything swept is counted."""

from __future__ import annotations

import asyncio

from prometheus_client import REGISTRY

from kit.sweeper import ROUNDS_MAX, Sweeper


def counted(name: str, sweep: str) -> float:
    return REGISTRY.get_sample_value(name, {"sweep": sweep}) or 0.0


async def test_a_failing_sweep_is_counted_and_the_next_one_runs() -> None:
    done = asyncio.Event()
    left = [3, 2]

    async def fails() -> int:
        raise RuntimeError("no")

    async def works() -> int:
        if left:
            return left.pop()
        done.set()
        return 0

    running = asyncio.create_task(Sweeper({"fails": fails, "works": works}, 3_600).run())
    async with asyncio.timeout(60):
        await done.wait()
    running.cancel()
    assert counted("atelier_swept_total", "works") == 5
    assert counted("atelier_sweep_failures_total", "fails") == 1


async def test_a_sweep_that_never_comes_to_an_end_does_not_keep_the_others() -> None:
    done = asyncio.Event()
    rounds = []

    async def endless() -> int:
        rounds.append(1)
        return 1

    async def last() -> int:
        done.set()
        return 0

    running = asyncio.create_task(Sweeper({"endless": endless, "last": last}, 3_600).run())
    async with asyncio.timeout(60):
        await done.wait()
    running.cancel()
    assert len(rounds) == ROUNDS_MAX


async def test_a_sweep_that_waits_for_somebody_does_not_keep_the_others() -> None:
    done = asyncio.Event()

    async def waits() -> int:
        await asyncio.Event().wait()
        return 0

    async def last() -> int:
        done.set()
        return 0

    running = asyncio.create_task(Sweeper({"waits": waits, "last": last}, 3_600).run())
    async with asyncio.timeout(60):
        await done.wait()
    running.cancel()
