"""Finding the sequences that catch bugs, and playing them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.exc import DBAPIError

from tests.machines import test_jobs_machine, test_money_machine
from tests.machines.jobs import JobsPlay
from tests.machines.money import MoneyPlay
from tests.machines.play import Play
from tests.machines.stage import Stage, Step, Violation
from tests.seeded.bug import Bug

SEQUENCES = Path(__file__).parent / "sequences.json"
REGRESSIONS = Path(__file__).parent / "regressions.json"
PLAYS: dict[str, Callable[[Stage], Play[Any]]] = {"money": MoneyPlay, "jobs": JobsPlay}
MACHINES = {"money": test_money_machine.machine_on, "jobs": test_jobs_machine.machine_on}
SEARCHED_PLAYS = 60
SURE = 3
ATTEMPTS = 3

Program = list[Step]


async def play(stage: Stage, plays: str, program: Program) -> str | None:
    """Plays a program; returns the check that found something, or None."""
    played: Play[Any] = PLAYS[plays](stage)
    played.is_quiet = True
    await played.begin()
    try:
        for step in program:
            await played.step(step)
    except Violation as violation:
        return violation.check
    except DBAPIError:
        return "error"
    return None


def search(runner: asyncio.Runner, stage: Stage, bug: Bug, chosen: int) -> dict[str, Any] | None:
    """Runs the machine with the bug in until it is caught, and makes the sequence small.

    Args:
        runner: Of the stage's loop.
        stage: Where it is played.
        bug: What is to be caught.
        chosen: The seed.
    """
    for attempt in range(ATTEMPTS):
        program = _first_caught(runner, stage, bug, chosen + attempt)
        found = runner.run(_shrunk(stage, bug, program)) if program else None
        if found is not None:
            return {"program": found[0], "caught_by": found[1]}
    return None


def _first_caught(runner: asyncio.Runner, stage: Stage, bug: Bug, chosen: int) -> Program | None:
    caught: list[Program] = []

    class Watched(MACHINES[bug.plays](stage, runner)):  # type: ignore[misc]
        def step(self, done: Step) -> None:
            self.play.is_quiet = True
            if caught:  # nothing more is to be learnt from this run
                return
            try:
                super().step(done)
            except (Violation, DBAPIError):
                caught.append(self.play.program)
                raise

    applied = bug.applied(stage.admin)
    runner.run(applied.__aenter__())
    try:
        with contextlib.suppress(Exception):
            run_state_machine_as_test(
                seed(chosen)(Watched),
                settings=settings(
                    max_examples=SEARCHED_PLAYS,
                    stateful_step_count=50,
                    deadline=None,
                    database=None,
                    report_multiple_bugs=False,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
    finally:
        runner.run(stage.reset())
        runner.run(applied.__aexit__(None, None, None))
    return caught[0] if caught else None


async def _shrunk(stage: Stage, bug: Bug, program: Program) -> tuple[Program, str] | None:
    """Leaves out whatever is not needed; None where the program does not catch the bug surely."""
    async with bug.applied(stage.admin):
        try:
            check = await _surely(stage, bug, program)
            if check is None:
                return None
            size = len(program) // 2
            while size:
                for start in range(len(program) - size, -1, -size):
                    shorter = program[:start] + program[start + size :]
                    found = await play(stage, bug.plays, shorter) if shorter else None
                    if found and await _surely(stage, bug, shorter):
                        program, check = shorter, found
                size //= 2
            return program, check
        finally:
            await stage.reset()


async def _surely(stage: Stage, bug: Bug, program: Program) -> str | None:
    found = [await play(stage, bug.plays, program) for _ in range(SURE)]
    return found[-1] if all(found) else None


def load() -> dict[str, dict[str, Any]]:
    """Reads the stored sequences by bug."""
    stored: dict[str, dict[str, Any]] = json.loads(SEQUENCES.read_text())
    return stored


def regressions() -> dict[str, dict[str, Any]]:
    """Reads the sequences by which machines found bugs of ours, by what was mended."""
    stored: dict[str, dict[str, Any]] = json.loads(REGRESSIONS.read_text())
    return stored


def store(found: dict[str, dict[str, Any]]) -> None:
    """Writes sequences, a step a line."""
    parts = []
    for name in sorted(found):
        steps = ",\n   ".join(json.dumps(step, sort_keys=True) for step in found[name]["program"])
        check = json.dumps(found[name]["caught_by"])
        parts.append(f' "{name}": {{\n  "caught_by": {check},\n  "program": [\n   {steps}]}}')
    SEQUENCES.write_text("{\n" + ",\n".join(parts) + "\n}\n")
