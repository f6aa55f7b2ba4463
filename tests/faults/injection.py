"""Faults: each is done to a running installation and lifted again."""

from __future__ import annotations

import asyncio
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from tests.studio import eventually

PROCESSES = (
    "accounts",
    "works",
    "templates",
    "jobs",
    "worker",
    "inference",
    "triton",
    "gateway",
)
SERVERS = ("nats", "postgres", "s3")
READY_SECONDS = 300.0


@dataclass(frozen=True)
class Ground:
    """Where faults are made: the places and the supervisor of an installation."""

    layout: Layout
    supervisor: Supervisor

    async def healed(self) -> None:
        """Waits until every part is ready again."""

        async def nothing_waits() -> bool:
            return not self.supervisor.waiting()

        await eventually(nothing_waits, READY_SECONDS)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: kill, stop, pause, wipe or crash.
        targets: Parts that it happens to, at the same moment.
        seconds: How long it lasts, where it lasts.
        point: The crash point, and at which pass of it.
    """

    kind: str
    targets: tuple[str, ...]
    seconds: float = 0.0
    point: str = ""

    def __str__(self) -> str:
        told = f"{self.kind} {'+'.join(self.targets)}"
        return f"{told} {self.point}".strip() + (f" {self.seconds:g} s" if self.seconds else "")

    async def happen(self, ground: Ground) -> None:
        """Does it and lifts it again; recovery is not waited for.

        To a part that an earlier fault has just ended nothing more can happen.
        """
        with suppress(LookupError, ProcessLookupError):
            await getattr(self, f"_{self.kind}")(ground)

    def calm(self, ground: Ground) -> None:
        """Takes back a crash order that nobody has met."""
        if self.kind == "crash":
            with suppress(LookupError, ProcessLookupError):
                arm(ground, self.targets[0], "")

    async def _kill(self, ground: Ground) -> None:
        for name in self.targets:
            with suppress(LookupError, ProcessLookupError):
                await ground.supervisor.kill(name)

    async def _pause(self, ground: Ground) -> None:
        for name in self.targets:
            ground.supervisor.pause(name)
        try:
            await asyncio.sleep(self.seconds)  # the length of the fault, not a wait for something
        finally:
            for name in self.targets:
                ground.supervisor.unpause(name)

    async def _stop(self, ground: Ground) -> None:
        for name in self.targets:
            await ground.supervisor.stop(name)
        await asyncio.sleep(self.seconds)
        for name in self.targets:
            await ground.supervisor.start_again(name)

    async def _wipe(self, ground: Ground) -> None:
        await ground.supervisor.stop("nats")
        shutil.rmtree(ground.layout.data / "nats" / "jetstream", ignore_errors=True)
        await ground.supervisor.start_again("nats")

    async def _crash(self, ground: Ground) -> None:
        arm(ground, self.targets[0], self.point)


def orders(layout: Layout) -> Path:
    """The folder of crash orders that the processes of an installation obey."""
    folder = layout.data / "crash"
    folder.mkdir(exist_ok=True)
    return folder


def arm(ground: Ground, victim: str, point: str) -> None:
    """Lets a running process die at a crash point; the one that is started after it does not."""
    (orders(ground.layout) / victim).write_text(point)
    ground.supervisor.send(victim, signal.SIGUSR2)


async def died(ground: Ground, victim: str, ends_before: int) -> None:
    """Waits until a part has ended once more."""

    async def has_ended() -> bool:
        return ground.supervisor.ends(victim) > ends_before

    await eventually(has_ended)
