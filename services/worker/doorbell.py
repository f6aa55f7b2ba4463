"""Doorbells from NATS: they only make the worker look sooner; without them it polls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import nats.errors

from kit.bus import Bus

log = logging.getLogger(__name__)

CONNECT_AGAIN_SECONDS = 1.0
WAKE = "jobs.wake."
CANCEL = "jobs.cancel."


async def listen_forever(
    url: str,
    name: str,
    pools: Sequence[str],
    on_wake: Callable[[], None],
    on_cancel: Callable[[str], None],
) -> None:
    """Listens until cancelled; a broker that is away is tried again in the background.

    Args:
        url: Of NATS.
        name: Of this process there.
        pools: Whose wake-up calls count.
        on_wake: Called when there may be work.
        on_cancel: Called with an item's id when its owner canceled it.
    """
    while True:
        try:
            async with AsyncExitStack() as opened:
                await _listen(opened, Bus(url, name), pools, on_wake, on_cancel)
                on_wake()  # whatever was rung before
                await asyncio.Event().wait()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            log.warning("no doorbells; polling goes on", extra={"error": repr(error)})
        await asyncio.sleep(CONNECT_AGAIN_SECONDS)


async def _listen(
    opened: AsyncExitStack,
    bus: Bus,
    pools: Sequence[str],
    on_wake: Callable[[], None],
    on_cancel: Callable[[str], None],
) -> None:
    opened.push_async_exit(bus)  # before it is entered: a half-open one must be closed as well
    await bus.__aenter__()
    for pool in pools:
        await opened.enter_async_context(bus.listen(WAKE + pool, lambda *_: on_wake()))
    cancel = bus.listen(CANCEL + "*", lambda subject, _: on_cancel(subject[len(CANCEL) :]))
    await opened.enter_async_context(cancel)
