"""What this machine must have; each lack is named with what to do about it."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.local import postgres
from deploy.local.layout import ROOT

DISK_BYTES_MIN = 2 << 30
MEMORY_BYTES_MIN = 3 << 30


class NotFit(RuntimeError):
    """The machine or the folder cannot be used."""


def check(data: Path) -> None:
    """Checks machine and data folder.

    Raises:
        NotFit: With one line per lack.
    """
    lacks = [lack for lack in _lacks(data) if lack]
    if lacks:
        raise NotFit("\n".join(lacks))


def _lacks(data: Path) -> Iterator[str]:
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        yield f"Python {platform.python_version()}: 3.11 or 3.12 is needed (make PYTHON=python3.11)"
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        yield f"{sys.platform} on {platform.machine()}: the parts' wheels are for Linux x86-64"
    for folder in (".venv-models", "gen"):
        if not (ROOT / folder).exists():
            yield f"{folder} is missing: run make install models"
    data.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(data).free < DISK_BYTES_MIN:
        yield f"{data}: less than 2 GB are free"
    if psutil.virtual_memory().available < MEMORY_BYTES_MIN:
        yield "less than 3 GB of memory are available"
    if not postgres.reachable(data):
        yield (
            f"{data}: the database runs as {postgres.UNPRIVILEGED_USER} and cannot reach it; "
            "set ATELIER_DATA to a folder that everybody may enter"
        )


@contextmanager
def sole_use(data: Path) -> Iterator[None]:
    """Holds the data folder for this process.

    Raises:
        NotFit: Another supervisor has it.
    """
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotFit(f"{data} is in use by another supervisor") from None
        lock.write(str(os.getpid()))
        lock.flush()
        yield
