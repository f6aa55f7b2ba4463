"""``python -m tests.machines money|jobs < program``: plays a printed program again, alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.local import layout, postgres
from deploy.local.supervisor import Supervisor
from tests.machines.ground import prepare
from tests.machines.jobs import JobsPlay
from tests.machines.money import MoneyPlay
from tests.machines.play import Play
from tests.machines.stage import Stage, Step

PLAYS: dict[str, Callable[[Stage], Play[Any]]] = {"money": MoneyPlay, "jobs": JobsPlay}


async def replay(plays: str, program: list[Step]) -> None:
    """Plays a program on a server of its own and prints each step.

    Raises:
        Violation: As it did before.
    """
    data = Path(tempfile.mkdtemp(prefix="atelier-replay-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    try:
        async with Supervisor(places.logs) as supervisor:
            await supervisor.start([postgres.part(places, postgres.install(places))])
            async with Stage(await prepare(places)) as stage:
                played = PLAYS[plays](stage)
                await played.begin()
                for step in program:
                    print(json.dumps(step), flush=True)
                    await played.step(step)
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(replay(sys.argv[1], json.load(sys.stdin)))
