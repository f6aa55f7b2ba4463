"""Who leaves while a picture is drawn stops the sampler, and the engine's log says so."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.studio import eventually

TRIES, LOGGED_SECONDS = 5, 10.0


async def stopped(log: Path, own: int, since: int = 0) -> int | None:
    """Waits a while until the log says that a row of so many steps was stopped, and after how many.

    It never will of a row that had not begun or was done already when its caller left.

    Args:
        log: Of the engine.
        own: Steps of the row.
        since: How long the log was before it.
    """

    async def said() -> list[str]:
        new = log.read_bytes()[since:].decode()
        return re.findall(rf"canceled after (\d+) of {own} steps", new)

    try:
        (steps,) = await eventually(said, LOGGED_SECONDS)
    except TimeoutError:
        return None
    return int(steps)


async def leaves_in_time(leave: Callable[[int], Awaitable[None]], log: Path) -> None:
    """Leaves rows after their first step until one had most of its steps before it.

    A row of the tiny model takes a second, and whoever leaves it may be held up for as long.

    Args:
        leave: Begins a row of so many steps and leaves after the first.
        log: Of the engine.
    """
    ends = []
    for own in range(97, 97 - TRIES, -1):  # by which the log tells a row from the others
        since = log.stat().st_size
        await leave(own)
        steps = await stopped(log, own, since)
        if steps is not None and steps < own // 2:
            return
        ends.append(steps)
    raise AssertionError(f"stopped after {ends} steps")
