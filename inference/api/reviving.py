"""Starting an engine anew until it passes a real request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

TRY_AGAIN_SECONDS, TRY_AGAIN_SECONDS_MAX = 0.2, 30.0


async def revive_until(
    tried: Callable[[], Awaitable[bool]], revive: Callable[[], Awaitable[bool]]
) -> None:
    """Returns when a trial has passed.

    An engine that is away comes back by itself; one that lives and fails is started anew, more and
    more seldom.

    Args:
        tried: Tries the engine; whether it passed.
        revive: Starts it anew; False: it could not be reached.
    """
    pause = TRY_AGAIN_SECONDS
    while not await tried():
        revived = await revive()
        pause = min(2 * pause, TRY_AGAIN_SECONDS_MAX) if revived else TRY_AGAIN_SECONDS
        await asyncio.sleep(pause)
