"""Starts parts in order, keeps them running, and ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Self

from deploy.local.part import Liveness, Part, Probe

log = logging.getLogger(__name__)

LAUNCHER = Path(__file__).parent / "launcher.py"
BACKOFF_SECONDS = (0.1, 0.5, 1, 2, 5, 10)
HEALTHY_AFTER_SECONDS = 30.0
PROBE_SECONDS = 0.05
HEALTH_SECONDS = 10.0
LOG_BYTES_MAX = 20 << 20
INHERITED = ("HOME", "LANG", "TMPDIR", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")


async def _asked(probe: Probe, seconds: float | None = None) -> bool:
    """Asks a probe; whatever it raises means no, and so does no answer within the time given."""
    try:
        async with asyncio.timeout(seconds):
            return await probe()
    except Exception:
        log.debug("probe failed", exc_info=True)
        return False


def _tree(pid: int) -> list[int]:
    """Returns a process and its descendants, parents first."""
    found = [pid]
    for each in found:
        for thread in Path("/proc").glob(f"{each}/task/*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.extend(int(child) for child in thread.read_text().split())
    return found


class PartFailed(RuntimeError):
    """A part did not become ready."""


class Supervisor:
    """Runs parts until it is left; no process outlives it, even if it is killed.

    Every part is started by a launcher that holds the reading end of a pipe from here and ends its
    process group when the pipe closes.
    """

    def __init__(
        self,
        logs: Path,
        on_ready: Callable[[str, float], None] | None = None,
        healthy_after_seconds: float = HEALTHY_AFTER_SECONDS,
        drains: bool = True,
    ) -> None:
        """Makes a supervisor of nothing yet.

        Args:
            logs: Folder of the parts' logs.
            on_ready: Told each part's name and the seconds that it took.
            healthy_after_seconds: A part that lived longer is started again without delay.
            drains: Whether parts get their grace when it is left; else all are killed at once.
        """
        self._logs = logs
        self._on_ready = on_ready
        self._healthy_after_seconds = healthy_after_seconds
        self._parts: dict[str, Part] = {}
        self._ends: Counter[str] = Counter()
        self._ready: dict[str, asyncio.Event] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._drains = drains
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._reading, self._writing = os.pipe()
        os.set_inheritable(self._reading, True)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._stopping = True
        if not self._drains:
            for name in self._tasks:
                with contextlib.suppress(LookupError):
                    self._signal_tree(name, self._parts[name].kill_signal)
        for name in reversed(list(self._tasks)):
            await self._end(name)
        os.close(self._writing)
        os.close(self._reading)

    async def start(self, parts: Sequence[Part]) -> None:
        """Starts parts, each after those that it names, and waits until all are ready.

        Raises:
            PartFailed: One was not ready in time; the message shows the end of its log.
        """
        for part in parts:
            self._parts[part.name] = part
            self._ready[part.name] = asyncio.Event()
        starts = [asyncio.create_task(self._start(part)) for part in parts]
        try:
            await asyncio.gather(*starts)
        finally:
            for start in starts:
                start.cancel()

    async def _start(self, part: Part) -> None:
        for name in part.after:
            await self._ready[name].wait()
        began = asyncio.get_running_loop().time()
        self._tasks[part.name] = asyncio.create_task(self._keep(part), name=part.name)
        try:
            async with asyncio.timeout(part.ready_seconds):
                await self._ready[part.name].wait()
        except TimeoutError:
            waited = f"{part.name} was not ready after {part.ready_seconds:.0f} s"
            raise PartFailed(f"{waited}\n{self._tail(part.name)}") from None
        if self._on_ready:
            self._on_ready(part.name, asyncio.get_running_loop().time() - began)

    def pid(self, name: str) -> int:
        """Returns the process id of a part itself, below its launcher.

        Raises:
            LookupError: It does not run at present.
        """
        launcher = self._processes[name].pid
        try:
            children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        except FileNotFoundError:
            raise LookupError(f"{name} does not run") from None
        return int(children[0])

    async def kill(self, name: str) -> None:
        """Kills a part with SIGKILL; it is started again as after any crash."""
        self._ready[name].clear()
        os.kill(self.pid(name), signal.SIGKILL)

    def send(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to a part itself."""
        os.kill(self.pid(name), number)

    def pause(self, name: str) -> None:
        """Stops a part and everything below it in mid-step, until :meth:`unpause`."""
        self._signal_tree(name, signal.SIGSTOP)

    def unpause(self, name: str) -> None:
        """Lets a paused part go on; nothing where it is not paused."""
        self._signal_tree(name, signal.SIGCONT)

    def _signal_tree(self, name: str, number: signal.Signals) -> None:
        # Not its group alone: PostgreSQL's processes each lead a group of their own.
        for pid in _tree(self.pid(name)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def ends(self, name: str) -> int:
        """Returns how often a part has ended since it was first started."""
        return self._ends[name]

    async def wait_ready(self, name: str, seconds: float = 180.0) -> None:
        """Waits until a part is ready again."""
        async with asyncio.timeout(seconds):
            await self._ready[name].wait()

    async def wait_ended(self, name: str) -> None:
        """Waits until a part that is not started again has ended."""
        await asyncio.shield(self._tasks[name])

    async def stop(self, name: str) -> None:
        """Ends one part, which nobody waits for until :meth:`start` is called with it."""
        await self._end(name)
        self._ready.pop(name, None)

    async def start_again(self, name: str) -> None:
        """Starts a stopped part as it was started last, and waits until it is ready.

        Raises:
            PartFailed: It was not ready in time.
        """
        await self.start([replace(self._parts[name], after=())])

    async def _keep(self, part: Part) -> None:
        failures = 0
        while not self._stopping:
            began = asyncio.get_running_loop().time()
            with self._open_log(part.name) as output:
                process = await self._spawn(part, output)
                self._processes[part.name] = process
                watches = [asyncio.create_task(self._watch(part))]
                if part.liveness:
                    watches.append(asyncio.create_task(self._guard(part.name, part.liveness)))
                try:
                    status = await process.wait()
                finally:
                    for watch in watches:
                        watch.cancel()
            self._ready[part.name].clear()
            self._ends[part.name] += 1
            if self._stopping or not part.restarts:
                return
            lived = asyncio.get_running_loop().time() - began
            failures = 0 if lived > self._healthy_after_seconds else failures + 1
            delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            log.warning("%s ended with %s; again in %.1f s", part.name, status, delay)
            await asyncio.sleep(delay)

    async def _spawn(self, part: Part, output: BinaryIO) -> asyncio.subprocess.Process:
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        environment = {"PATH": os.defpath, **inherited, **part.environment}
        launcher = [
            *(sys.executable, "-S", "-E", str(LAUNCHER)),
            *(
                str(self._reading),
                str(part.uid),
                str(part.grace_seconds),
                str(int(part.stop_signal)),
            ),
        ]
        return await asyncio.create_subprocess_exec(
            *launcher,
            *part.command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(self._reading,),
            start_new_session=True,
        )

    async def _watch(self, part: Part) -> None:
        """Asks a fresh process until it is ready, and then now and again whether it still is."""
        ready = self._ready[part.name]
        while True:
            healthy = await _asked(part.probe)
            if healthy and not ready.is_set():
                ready.set()
            elif not healthy and ready.is_set():
                log.warning("%s is not healthy", part.name)
                ready.clear()
            await asyncio.sleep(HEALTH_SECONDS if healthy else PROBE_SECONDS)

    async def _guard(self, name: str, liveness: Liveness) -> None:
        """Kills a process that was ready and does not answer any more, with all below it."""
        await self._ready[name].wait()
        clock, failures = asyncio.get_running_loop().time, 0
        while failures < liveness.failures_max:
            next_at = clock() + liveness.period_seconds
            failures = 0 if await _asked(liveness.probe, liveness.period_seconds) else failures + 1
            await asyncio.sleep(next_at - clock())
        seconds = failures * liveness.period_seconds
        log.error("%s has not answered for %.0f s; it is killed", name, seconds)
        with contextlib.suppress(LookupError):
            self._signal_tree(name, signal.SIGKILL)

    def waiting(self) -> list[str]:
        """Returns the parts that are not ready."""
        return [name for name, ready in self._ready.items() if not ready.is_set()]

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        process = self._processes.get(name)
        if task is None:
            return
        if process is not None and process.returncode is None:
            process.terminate()
            task_done, _ = await asyncio.wait([task], timeout=None if self._stopping else 0)
            if not task_done:
                await process.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _open_log(self, name: str) -> BinaryIO:
        path = self._logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def _tail(self, name: str, lines: int = 15) -> str:
        path = self._logs / f"{name}.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
