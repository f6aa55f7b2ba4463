"""The supervisor: order, restart, a clean end, and no process left behind however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.supervisor import Part, PartFailed, Supervisor
from tests.studio import eventually

# A part that writes its own pid and its child's, and ignores nothing.
_PART = """
import subprocess, sys, time, pathlib
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1], "a") as marks:
    marks.write(f"{__import__('os').getpid()} {child.pid}\\n")
time.sleep(600)
"""


def part(name: str, folder: Path, **changes: object) -> Part:
    marks = folder / name

    async def probe() -> bool:
        return marks.exists() and marks.read_text().endswith("\n")

    command = [sys.executable, "-c", _PART, str(marks)]
    return Part(name=name, command=command, probe=probe, **changes)  # type: ignore[arg-type]


def pids(folder: Path, name: str) -> list[int]:
    return [int(pid) for line in (folder / name).read_text().splitlines() for pid in line.split()]


def alive(found: list[int]) -> list[int]:
    return [
        pid
        for pid in found
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


async def gone(found: list[int]) -> None:
    processes = [psutil.Process(pid) for pid in alive(found)]
    _, left = await asyncio.to_thread(psutil.wait_procs, processes, 20)
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    async with Supervisor(tmp_path) as running:
        yield running


async def test_a_part_starts_after_those_that_it_needs(tmp_path: Path) -> None:
    order: list[str] = []
    async with Supervisor(tmp_path, lambda name, _: order.append(name)) as running:
        await running.start([part("b", tmp_path, after=("a",)), part("a", tmp_path)])
        assert order == ["a", "b"]
        started = pids(tmp_path, "a") + pids(tmp_path, "b")
    await gone(started)


async def test_a_part_that_dies_is_started_again(tmp_path: Path, supervisor: Supervisor) -> None:
    await supervisor.start([part("a", tmp_path)])
    first = pids(tmp_path, "a")
    (tmp_path / "a").unlink()
    await supervisor.kill("a")
    await supervisor.wait_ready("a", 20)
    await gone(first)
    assert pids(tmp_path, "a") != first


async def test_a_part_that_is_never_ready_is_named_with_the_end_of_its_log(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    async def never() -> bool:
        return False

    command = [sys.executable, "-c", "print('the reason', flush=True); import time; time.sleep(60)"]
    with pytest.raises(PartFailed, match=r"(?s)a was not ready.*the reason"):
        await supervisor.start([Part("a", command, never, ready_seconds=1.0)])


async def test_nothing_survives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import asyncio, pathlib, sys
        from deploy.local.supervisor import Supervisor
        from tests.integration.test_supervisor import part
        async def main():
            folder = pathlib.Path({str(tmp_path)!r})
            async with Supervisor(folder) as running:
                await running.start([part("a", folder), part("b", folder)])
                print("ready", flush=True)
                await asyncio.sleep(600)
        asyncio.run(main())
        """
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    started = pids(tmp_path, "a") + pids(tmp_path, "b")
    assert len(alive(started)) == 4
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await gone(started)


async def test_a_paused_part_stands_still_with_all_below_it(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    await supervisor.start([part("one", tmp_path)])
    tree = pids(tmp_path, "one")

    async def stand() -> bool:
        return {psutil.Process(pid).status() for pid in tree} == {psutil.STATUS_STOPPED}

    async def move() -> bool:
        return psutil.STATUS_STOPPED not in {psutil.Process(pid).status() for pid in tree}

    supervisor.pause("one")
    await eventually(stand)
    supervisor.unpause("one")
    await eventually(move)


async def test_a_stopped_part_can_be_started_again_as_it_was(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    await supervisor.start([part("one", tmp_path)])
    first = pids(tmp_path, "one")
    await supervisor.stop("one")
    assert supervisor.waiting() == []
    with pytest.raises(LookupError):
        supervisor.pid("one")
    (tmp_path / "one").unlink()
    await supervisor.start_again("one")
    assert not set(first) & set(pids(tmp_path, "one"))
    assert supervisor.ends("one") == 1


async def test_a_part_is_asked_to_end_by_the_signal_of_its_choice(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    program = (
        "import pathlib, signal, sys, time\n"
        "def end(number, frame):\n"
        "    pathlib.Path(sys.argv[2]).write_text(signal.Signals(number).name)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGINT, end)\n"
        "pathlib.Path(sys.argv[1]).write_text('ready\\n')\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "one"), str(asked)]
    chosen = replace(part("one", tmp_path), command=command, stop_signal=signal.SIGINT)
    await supervisor.start([chosen])
    await supervisor.stop("one")
    assert asked.read_text() == "SIGINT"
