"""The life of a process: settings, logs, background tasks, SIGTERM, a clean end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import uvloop

from kit import metrics, telemetry
from kit.config import Settings, load
from kit.crash import crash_point

log = logging.getLogger(__name__)

CANCEL_AGAIN_SECONDS = 1.0
S = TypeVar("S", bound=Settings)


class Process(AsyncExitStack):
    """What a process holds open, closed in reverse order; ``__main__`` fills it."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = asyncio.Event()
        self.failed = False

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Runs a task for as long as the process lives; its failure ends the process."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self.push_async_callback(cancel, task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception():
            log.error("task failed", exc_info=task.exception(), extra={"task": task.get_name()})
            self.failed = True
            self.stopping.set()


async def cancel(task: asyncio.Future[Any]) -> None:
    """Ends a task and waits until it has ended.

    Once may not be enough: before Python 3.12 ``asyncio.wait_for``, in which clients wait for their
    servers, drops a cancellation that comes in the moment of the answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_SECONDS)


def run(settings: type[S], compose: Callable[[Process, S], Awaitable[None]]) -> None:
    """Runs a process until SIGTERM or SIGINT; exits with 1 where a background task failed."""
    loaded = load(settings)
    telemetry.configure(loaded.service, loaded.log_level, loaded.otlp_endpoint)
    metrics.serve(loaded.metrics_listen)
    if uvloop.run(_live(loaded, compose)):
        raise SystemExit(1)


async def _live(settings: S, compose: Callable[[Process, S], Awaitable[None]]) -> bool:
    async with Process() as process:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, process.stopping.set)
        if settings.crash_orders:
            order = settings.crash_orders / settings.service
            loop.add_signal_handler(signal.SIGUSR2, crash_point.obey, order)
        await compose(process, settings)
        await process.stopping.wait()
        log.info("stopping")
    return process.failed
