"""The supervisor: order, restart, a clean end, and no process left behind however it ends."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local.part import Liveness, Part, Probe
from deploy.local.supervisor import PartFailed, Supervisor
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
    return replace(Part(name=name, command=command, probe=probe), **changes)  # type: ignore[arg-type]


# Beside that it says that it is alive to whoever connects.
_SERVER = """
import socket, subprocess, sys, os
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with socket.socket(socket.AF_UNIX) as listening:
    if os.path.exists(sys.argv[2]):
        os.unlink(sys.argv[2])
    listening.bind(sys.argv[2])
    listening.listen()
    with open(sys.argv[1], "a") as marks:
        marks.write(f"{os.getpid()} {child.pid}\\n")
    while True:
        with listening.accept()[0] as asking:
            asking.sendall(b"alive")
"""


def server(name: str, folder: Path, socket: Path, liveness: Liveness) -> Part:
    made = part(name, folder, liveness=liveness)
    return replace(made, command=[sys.executable, "-c", _SERVER, str(folder / name), str(socket)])


def answers(socket: Path) -> Probe:
    async def probe() -> bool:
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            return await reader.read() == b"alive"
        finally:
            writer.close()

    return probe


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
    _, left = await asyncio.to_thread(psutil.wait_procs, processes, 60)
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
    await supervisor.wait_ready("a")
    await gone(first)
    assert pids(tmp_path, "a") != first


async def test_a_part_that_is_never_ready_is_named_with_the_end_of_its_log(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    async def never() -> bool:
        return False

    command = [sys.executable, "-c", "print('the reason', flush=True); import time; time.sleep(60)"]
    failed = ""
    for seconds in (0.5, 5, 50):  # the process itself needs its time where processors are busy
        with pytest.raises(PartFailed, match="a was not ready") as raised:
            await supervisor.start([Part("a", command, never, ready_seconds=seconds)])
        failed = str(raised.value)
        await supervisor.stop("a")
        if "the reason" in failed:
            break
    assert failed.endswith("the reason")


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


async def test_parts_whose_grace_nobody_wants_are_killed_with_all_below_them(
    tmp_path: Path,
) -> None:
    async with Supervisor(tmp_path, drains=False) as running:
        await running.start([part(name, tmp_path, grace_seconds=600.0) for name in ("a", "b")])
        running.pause("b")  # it would hear nothing until its grace is over
        started = pids(tmp_path, "a") + pids(tmp_path, "b")
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


@pytest.fixture
def socket() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())  # a socket's path has at most 107 bytes
    yield folder / "s"
    shutil.rmtree(folder)


async def test_a_part_that_hangs_is_killed_with_all_below_it_and_started_again(
    supervisor: Supervisor, tmp_path: Path, socket: Path
) -> None:
    alive = Liveness(answers(socket), period_seconds=0.5, failures_max=4)
    await supervisor.start([server("one", tmp_path, socket, alive)])
    first = pids(tmp_path, "one")
    (tmp_path / "one").unlink()
    supervisor.pause("one")  # and nobody lets it go on
    await gone(first)

    async def again() -> bool:
        try:
            return supervisor.ends("one") > 0 and await answers(socket)()
        except OSError:  # its successor does not listen yet
            return False

    await eventually(again)
    await supervisor.wait_ready("one")
    assert not set(first) & set(pids(tmp_path, "one"))


async def test_a_part_that_answers_now_and_then_is_left_alone(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    asked = itertools.count(1)
    last = 0

    async def every_third_time() -> bool:
        nonlocal last
        last = next(asked)
        return last % 3 == 0

    alive = Liveness(every_third_time, period_seconds=0.01, failures_max=3)
    await supervisor.start([part("one", tmp_path, liveness=alive)])

    async def enough() -> bool:
        return last > 30

    await eventually(enough)
    assert supervisor.ends("one") == 0


async def test_only_a_part_that_was_ready_is_asked_whether_it_lives(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    said: list[str] = []

    async def slow() -> bool:
        said.append("ready?")
        return len(said) > 20

    async def never() -> bool:
        said.append("alive?")
        return False

    dead = Liveness(never, period_seconds=0.01, failures_max=2)
    await supervisor.start([part("one", tmp_path, probe=slow, liveness=dead)])

    async def killed() -> bool:
        return supervisor.ends("one") > 0

    await eventually(killed)
    assert said.index("alive?") > 20


async def test_nobody_asks_after_a_part_that_was_stopped(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    asked = {"one": 0, "two": 0}

    def counting(name: str) -> Liveness:
        async def count() -> bool:
            asked[name] += 1
            return True

        return Liveness(count, period_seconds=0.01)

    await supervisor.start([part(name, tmp_path, liveness=counting(name)) for name in asked])
    await supervisor.stop("one")
    before, goal = asked["one"], asked["two"] + 20

    async def time_has_passed() -> bool:
        return asked["two"] >= goal

    await eventually(time_has_passed)
    assert asked["one"] == before
