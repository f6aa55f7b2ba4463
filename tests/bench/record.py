"""Figures: measured beside a named peer in the same minutes, written to build/bench.json."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from deploy.local.layout import ROOT

FILE = ROOT / "build" / "bench.json"
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Record:
    """One figure.

    Attributes:
        name: What was measured.
        value: The median of its rounds.
        unit: For example op/s.
        peer: What it is compared with; empty: nothing.
        ratio: Its value to the peer's of the same rounds.
        cpu_us_per_op: CPU time of every process that took part, in microseconds.
    """

    name: str
    value: float
    unit: str
    peer: str = ""
    ratio: float | None = None
    cpu_us_per_op: float | None = None


class Measured(NamedTuple):
    """One round: operations a second and CPU time of one operation."""

    per_second: float
    cpu_us: float


def write(records: Iterable[Record], file: Path = FILE) -> None:
    """Adds figures to the file, in place of older ones of the same name, and prints them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    known = {old["name"]: old for old in json.loads(file.read_text())} if file.exists() else {}
    for record in records:
        known[record.name] = asdict(record)
        print(shown(record))
    file.write_text(json.dumps([known[name] for name in sorted(known)], indent=1) + "\n")


def shown(record: Record) -> str:
    """A figure as a line."""
    line = f"{record.name}: {record.value:.4g} {record.unit}"
    if record.cpu_us_per_op is not None:
        line += f", {record.cpu_us_per_op:.0f} CPU-us/op"
    return line + (f", {record.ratio:.3g} x {record.peer}" if record.ratio is not None else "")


def compared(name: str, rounds: Sequence[Measured], peer: str, peers: Sequence[Measured]) -> Record:
    """Makes the figure of something from interleaved rounds of it and of its peer."""
    ratios = [mine.per_second / other.per_second for mine, other in zip(rounds, peers, strict=True)]
    return Record(
        name,
        median(each.per_second for each in rounds),
        "op/s",
        peer,
        median(ratios),
        median(each.cpu_us for each in rounds),
    )


async def measured(
    operations: int, run: Callable[[], Awaitable[None]], pids: Sequence[int] = ()
) -> Measured:
    """Runs something once.

    Args:
        operations: How many operations that is.
        run: Does them, waiting for the last.
        pids: Processes whose CPU time counts, with their descendants, beside our own.
    """
    started, used = time.monotonic(), _own_seconds() + cpu_seconds(pids)
    await run()
    spent = time.monotonic() - started
    cpu_us = (_own_seconds() + cpu_seconds(pids) - used) / operations * 1e6
    return Measured(operations / spent, cpu_us)


def _own_seconds() -> float:
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time that processes and their descendants have used."""
    return sum(_ticks(pid) for pid in _with_descendants(pids)) * _TICK_SECONDS


def _ticks(pid: int) -> int:
    """Ticks of a process and of those of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended meanwhile; its parent has its time
        return 0
    return sum(int(field) for field in fields[11:15])


def _with_descendants(pids: Sequence[int]) -> list[int]:
    found = list(pids)
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            continue
        found.extend(int(child) for child in children.split())
    return found


async def at_once(tasks: int, operations: int, operation: Callable[[], Awaitable[None]]) -> None:
    """Does so many operations from so many tasks."""
    left = iter(range(operations))

    async def worker() -> None:
        for _ in left:
            await operation()

    await asyncio.gather(*(worker() for _ in range(tasks)))
