"""Ending the processes that once served a model's instance and were given up.

Triton replaces a model whose process hangs, yet never ends that process. It would keep its memory,
and waking up later it takes the server down: it answers into queues that are no more.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)


def end_predecessors(instance: str) -> list[int]:
    """Kills the other processes of the same model instance; called before anything is loaded.

    Args:
        instance: Its name, as Triton says it (`model_instance_name`).

    Returns:
        Their process numbers.
    """
    own, server = os.getpid(), os.getppid()
    model = _command(own)[:2]  # the program and the model's file
    siblings = Path(f"/proc/{server}/task").glob("*/children")
    ended = []
    for pid in {int(pid) for path in siblings for pid in _read(path).split()} - {own}:
        command = _command(pid)
        if command[:2] != model or instance.encode() not in command:
            continue
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            ended.append(pid)
    if ended:
        log.warning("ended what was given up", extra={"instance": instance, "pids": ended})
    return ended


def _command(pid: int) -> list[bytes]:
    return _read(Path(f"/proc/{pid}/cmdline")).split(b"\0")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return b""
