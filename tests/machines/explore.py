"""How far machines go: the same plays every time, or by ``make deep`` other ones for so long.

``DEEP_SECONDS`` is how long each part of a deep run may take, ``DEEP_SEED`` where it begins. Every
failure prints the program that was played; ``python -m tests.machines`` plays it again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.machines.ground import Ground
from tests.machines.stage import Stage

STEPS = 50
DEEP_PLAYS = 20
DEEP_SECONDS = float(os.environ.get("DEEP_SECONDS") or 0)

# Steps done, by machine.
COUNT: Counter[str] = Counter()


@contextmanager
def stage(runner: asyncio.Runner, ground: Ground) -> Iterator[Stage]:
    """Opens a stage in the runner's loop."""
    opened = Stage(ground)
    runner.run(opened.__aenter__())
    try:
        yield opened
    finally:
        runner.run(opened.__aexit__())


def explore(
    name: str, machine: Callable[[], type[RuleBasedStateMachine]], plays: int, steps_min: int
) -> None:
    """Runs a machine.

    Args:
        name: As its steps are counted.
        machine: Makes it.
        plays: How many there are where it is not run deep.
        steps_min: How many steps these have at least.
    """
    started = time.monotonic()
    if DEEP_SECONDS:
        for chosen in seeds(name):
            _run(seed(chosen)(machine()), max_examples=DEEP_PLAYS)
    else:
        # Shrinking on a real database takes longer than CI may.
        _run(machine(), max_examples=plays, derandomize=True, phases=[Phase.generate])
    spent = time.monotonic() - started
    print(f"{name}: {COUNT[name]} steps in {spent:.0f} s, {COUNT[name] / spent:.0f} steps/s")
    assert COUNT[name] >= (steps_min if not DEEP_SECONDS else 1)


def seeds(name: str) -> Iterator[int]:
    """Yields a seed after the other, printed, until a deep run's time is over."""
    chosen = int(os.environ.get("DEEP_SEED") or random.randrange(2**32))
    until = time.monotonic() + DEEP_SECONDS
    while time.monotonic() < until:
        print(f"{name}: DEEP_SEED={chosen}", flush=True)
        yield chosen
        chosen += 1


def _run(machine: type[RuleBasedStateMachine], **chosen: Any) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            stateful_step_count=STEPS,
            deadline=None,
            report_multiple_bugs=False,
            database=None,
            suppress_health_check=list(HealthCheck),
            **chosen,
        ),
    )
