"""Runs checks: each in a process of its own, few at once, ended when it takes too long.

A file has its turn before its bytes are fetched and until they are stored, so that no more are on
this machine's disk than may be checked at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from kit.errors import DomainError, Unavailable
from kit.metrics import FILE_CHECKS
from services.works.files.check.verdict import STORED_AS, Accepted, Limits
from services.works.files.domain import BUSY_SECONDS, KINDS, REFUSALS, FileRefused

log = logging.getLogger(__name__)

ANSWER_BYTES_MAX = 1 << 16
DESCRIPTORS = 16
# The decoder could not take this file; another time it could not either.
_FELL = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL, -signal.SIGABRT}
_SPENT = {-signal.SIGXCPU}


class Busy(DomainError):
    """As many files wait for their check as may."""

    reason = "OVERLOADED"


@dataclass(frozen=True)
class Bounds:
    """What checks may take.

    Attributes:
        at_once: Checks that run at a time.
        waiting_max: Files that wait for their turn.
        waiting_seconds: How long one waits for its turn.
        seconds: Of one check by the wall clock; then it is ended, and can be asked for again.
        moving_seconds: For a file's bytes to come from storage and to go there.
        lease_seconds: How long an attempt keeps others from beginning when nobody renews it.
        renewal_seconds: How often one that goes on is renewed.
        cpu_seconds: Of one check on a processor; what takes more is refused.
        memory_bytes: Address space of one check.
    """

    at_once: int = 2
    waiting_max: int = 16
    waiting_seconds: float = 10.0
    seconds: float = 20.0
    moving_seconds: float = 20.0
    lease_seconds: float = 10.0
    renewal_seconds: float = 2.5
    cpu_seconds: int = 15
    memory_bytes: int = 1 << 30

    @property
    def attempt_seconds(self) -> float:
        """How long a confirmation may take, from its beginning; then it is ended."""
        return self.waiting_seconds + self.seconds + self.moving_seconds


@dataclass(frozen=True)
class Bytes:
    """The open files of one check, without a name in any folder."""

    source: BinaryIO
    target: BinaryIO
    thumbnail: BinaryIO


class Checker:
    """Starts the process of ``services.works.files.check`` for every file."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._turns = asyncio.Semaphore(bounds.at_once)
        self._asked = 0
        self._warned = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a file's turn, which it has until the block ends.

        Raises:
            Busy: Too many wait, or this one has waited for too long.
        """
        if self._asked >= self.bounds.at_once + self.bounds.waiting_max:
            raise _busy()
        self._asked += 1
        try:
            await self._wait()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._asked -= 1

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self.bounds.waiting_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise _busy() from None

    async def check(self, content_type: str, limits: Limits, files: Bytes) -> Accepted:
        """Has a file checked whose turn it is.

        Raises:
            FileRefused: It is not let in.
            Unavailable: The check was ended from outside, or did not end; it may be tried again.
        """
        try:
            answer = await self._run(content_type, limits, files)
        except FileRefused as refused:
            FILE_CHECKS.labels(content_type, refused.reason.lower()).inc()
            raise
        except Unavailable:
            FILE_CHECKS.labels(content_type, "unavailable").inc()
            raise
        FILE_CHECKS.labels(content_type, "accepted").inc()
        return answer

    async def _run(self, content_type: str, limits: Limits, files: Bytes) -> Accepted:
        with tempfile.TemporaryFile() as answer:
            opened = (files.source, files.target, files.thumbnail, answer)
            numbers = [each.fileno() for each in opened]
            process = _start(self._order(content_type, limits, numbers), numbers)
            try:
                async with asyncio.timeout(self.bounds.seconds):
                    await _ended(process)
            except TimeoutError:
                raise Unavailable(
                    "the check took too long", retry_after_seconds=BUSY_SECONDS
                ) from None
            finally:
                process.kill()  # nothing where it has ended
                process.wait()
            answer.seek(0)
            return self._read(content_type, answer.read(ANSWER_BYTES_MAX), process.returncode)

    def _order(self, content_type: str, limits: Limits, numbers: list[int]) -> str:
        return json.dumps(
            {
                "content_type": content_type,
                "limits": asdict(limits),
                "places": numbers,
                "process": {
                    "memory_bytes": self.bounds.memory_bytes,
                    "cpu_seconds": self.bounds.cpu_seconds,
                    # One byte more than may be stored, so that what is too large is seen to be.
                    "written_bytes": limits.bytes_max + 1,
                    "descriptors": DESCRIPTORS,
                },
            }
        )

    def _read(self, content_type: str, answered: bytes, status: int) -> Accepted:
        if status:
            log.warning("a check was ended", extra={"status": status})
        if status in _SPENT:
            raise FileRefused("FILE_TOO_COMPLEX", "reading the file takes too long")
        if status in _FELL:
            raise FileRefused("FILE_DAMAGED", "the file cannot be decoded")
        try:
            answer = json.loads(answered)
            self._warn(answer)
            if "refused" in answer:
                said = answer["refused"]
                if said["reason"] not in REFUSALS:
                    raise ValueError("no such reason")
                raise FileRefused(said["reason"], said["message"], **said["metadata"])
            return _accepted(content_type, answer["accepted"])
        except (ValueError, KeyError, TypeError):
            raise Unavailable("the check did not end", retry_after_seconds=BUSY_SECONDS) from None

    def _warn(self, answer: dict[str, Any]) -> None:
        if not answer["is_sealed"] and not self._warned:
            self._warned = True
            log.warning("checks run without a filter on system calls: this kernel has none")


def _busy() -> Busy:
    return Busy("too many files are being checked", retry_after_seconds=BUSY_SECONDS)


def _accepted(content_type: str, said: dict[str, Any]) -> Accepted:
    """Reads what the check says of a file, as little trusted as the file itself."""
    accepted = Accepted(**said)
    numbers = (accepted.width, accepted.height, accepted.pages)
    if (
        accepted.content_type != STORED_AS.get(content_type, content_type)
        or accepted.as_sent != (KINDS[content_type] == "document")
        or not all(type(each) is int and 0 <= each < 1 << 31 for each in numbers)
    ):
        raise ValueError("no such file")
    return accepted


def _start(order: str, numbers: list[int]) -> subprocess.Popen[bytes]:
    """Starts a check with the descriptors that it needs and no environment.

    Not by the loop: uvloop forks, and then the handlers run that gRPC has for forks, which now and
    then end the child before it has begun. This is a vfork, which runs none.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "services.works.files.check", order],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=numbers,
        env={},
    )


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Waits for a process to end; it is there to be reaped then."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    watched = os.pidfd_open(process.pid)
    try:
        loop.add_reader(watched, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(watched)
        os.close(watched)
