"""Random episodes: load, one to three faults at random moments, quiet, and the whole truth.

An episode follows from its seed alone: ``plan(seed)`` is what is done, and in which order.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faults.injection import PROCESSES, SERVERS, Fault, Ground
from tests.faults.load import Load, Tally
from tests.faults.points import DYING
from tests.faults.truth import Truth

FAULTS_MAX = 3
MOMENT_SECONDS = (0.2, 3.0)
BEFORE_JOBS = 3
RECOVERED_JOBS = 6
QUIET_SECONDS = 300.0

KILLS = [Fault("kill", (name,)) for name in PROCESSES]
PAIRS = [Fault("kill", pair) for pair in itertools.combinations(PROCESSES, 2)]


def pauses(seconds: float, parts: Sequence[str] = ("worker", "triton", *SERVERS)) -> list[Fault]:
    """Parts that hang for so long and come back; by default those that leases depend on."""
    return [Fault("pause", (name,), seconds) for name in parts]


def outages(seconds: float) -> list[Fault]:
    """Every server killed, stopped for a while, and NATS without what it had stored."""
    killed = [Fault("kill", (name,)) for name in SERVERS]
    stopped = [Fault("stop", (name,), seconds) for name in SERVERS]
    return [*killed, *stopped, Fault("wipe", ("nats",))]


@dataclass(frozen=True)
class Plan:
    """What happens in one episode.

    Attributes:
        seed: From which it was drawn.
        steps: Faults, each so many seconds after the one before.
        one_by_one: Whether each waits until what the one before did is healed.
    """

    seed: int
    steps: Sequence[tuple[float, Fault]]
    one_by_one: bool = False

    def __str__(self) -> str:
        told = ", ".join(f"after {delay:.1f} s {fault}" for delay, fault in self.steps)
        return f"seed {self.seed}: {told}"


def plan(seed: int, lease_seconds: float) -> Plan:
    """Draws an episode."""
    rng = random.Random(seed)
    crashes = [
        Fault("crash", (victim,), point=f"{point} {rng.randint(1, 6)}")
        for point, victims in DYING.items()
        for victim in victims
    ]
    hanging = pauses(1.5 * lease_seconds, (*PROCESSES, *SERVERS))
    kinds = [KILLS, PAIRS, hanging, outages(2.0), crashes]
    steps = [
        (rng.uniform(*MOMENT_SECONDS), rng.choice(rng.choice(kinds)))
        for _ in range(rng.randint(1, FAULTS_MAX))
    ]
    return Plan(seed, steps)


@dataclass
class Runner:
    """Runs episodes on an installation and counts what was done.

    Attributes:
        ground: The installation.
        load: Its clients.
        truth: Its databases.
        say: Told of every episode, and the timeline of one that broke a rule.
    """

    ground: Ground
    load: Load
    truth: Truth
    say: Callable[[str], None] = print
    episodes: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)

    async def run(self, wanted: Plan) -> None:
        """Runs one episode.

        Raises:
            AssertionError: Something that was accepted is lost, or money is wrong.
        """
        began = time.monotonic()
        timeline: list[str] = []

        def note(what: str) -> None:
            timeline.append(f"  {time.monotonic() - began:6.1f} s  {what}")

        try:
            tally = await self._episode(wanted, note)
        except BaseException:
            self.say("\n".join([f"BROKEN {wanted}", *timeline]))
            raise
        self.episodes += 1
        self.ended += tally.ended
        self.answers += tally.answers
        ends = ", ".join(f"{count} {state}" for state, count in sorted(tally.ended.items()))
        self.say(f"{time.monotonic() - began:6.1f} s  {wanted}: {ends}")

    async def _episode(self, wanted: Plan, note: Callable[[str], None]) -> Tally:
        async with self.load.on() as tally:
            await self.load.jobs_ended(BEFORE_JOBS)
            for delay, fault in wanted.steps:
                await asyncio.sleep(delay)  # the moment that was drawn
                note(str(fault))
                await fault.happen(self.ground)
                self.faults[str(fault)] += 1
                if wanted.one_by_one or fault is wanted.steps[-1][1]:
                    await self._recovered(note)
            for _, fault in wanted.steps:
                fault.calm(self.ground)
        note(f"the load has ended: {dict(tally.ended)}, answers {dict(tally.answers)}")
        assert not tally.faults, tally.faults
        await self.truth.check(tally.accepted, QUIET_SECONDS)
        note("quiet, and as it should be")
        return tally

    async def _recovered(self, note: Callable[[str], None]) -> None:
        await self.ground.healed()
        note("healed")
        await self.load.jobs_ended(RECOVERED_JOBS)
        note("jobs end again")
