"""Several things at once, of which the first that fails ends the others; work on threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def together(work: Iterable[Coroutine[object, object, T]]) -> list[T]:
    """Runs coroutines side by side and returns their results in order.

    Raises:
        Exception: The first failure, as it was; the others are cancelled by then.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def on_a_thread(
    threads: ThreadPoolExecutor, work: Callable[[], T], stopped: threading.Event | None = None
) -> T:
    """Does work on a thread; whoever gives it up waits until the thread has heard of it.

    So that what the work holds is counted for as long as it is held, and a place on the threads is
    given back before the next call takes one.

    Args:
        threads: Where it is done, or waits.
        work: Looks at ``stopped`` between its parts, and raises where it is set.
        stopped: Set when nobody waits for the work any more; None: it has no parts.

    Raises:
        Exception: As the work did.
    """
    begun = threads.submit(work)
    done = asyncio.wrap_future(begun)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        if stopped is not None:
            stopped.set()
        begun.cancel()  # where it still waits for a thread
        await asyncio.gather(done, return_exceptions=True)
        raise
