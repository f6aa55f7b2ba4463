"""Any sequence of what users, workers and sweepers do keeps the invariants and the drawn states."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.machines import explore
from tests.machines.ground import Ground, in_own_loop
from tests.machines.jobs import JobsPlay
from tests.machines.stage import Stage, Step

PLAYS, STEPS_MIN = 170, 7_500
NUMBER = st.integers(0, 11)
# Most reports come from the newest claims.
LEASE = st.sampled_from([-1, -1, -1, -2, -2, -3, -4]) | NUMBER
POOL = st.sampled_from(["gpu", "cpu"])
CATEGORY = st.sampled_from(["eats", "beauty"])
UPTO = st.sampled_from(["queued", "queued", "queued", "intent", "held", "unanswered"])
HOW = st.sampled_from(["delivered", "delivered", "stopped", "user", "transient", "infra"])


def step(do: str, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return st.fixed_dictionaries({"do": st.just(do), **fields})


def submit(upto: st.SearchStrategy[str]) -> st.SearchStrategy[Step]:
    return step(
        "submit",
        user=st.integers(0, 2),
        category=CATEGORY,
        pool=POOL,
        prices=st.lists(st.integers(0, 6), min_size=1, max_size=3),
        key=st.integers(0, 30),
        upto=upto,
    )


SUBMIT = submit(UPTO)
DRIVE = step("drive", job=NUMBER)


def claim(noted: st.SearchStrategy[bool]) -> st.SearchStrategy[Step]:
    pools = st.just(["gpu", "cpu"]) | st.lists(POOL, min_size=1, max_size=1)
    return step("claim", slots=st.integers(1, 4), pools=pools, noted=noted)


CLAIM = claim(st.sampled_from([True, True, True, False]))
NOTE = step("note", lease=LEASE)
BEAT = step("beat", leases=st.lists(LEASE, min_size=1, max_size=3))
PROGRESS = step("progress", lease=LEASE, percent=st.integers(0, 99))
BEGIN_STEP = step("begin_step", lease=LEASE, content=st.sampled_from("ab"))
FINISH_STEP = step("finish_step", lease=LEASE, content=st.sampled_from("ab"))
FINISH = step("finish", lease=LEASE, how=HOW)
CANCEL = step("cancel", job=NUMBER, by_owner=st.sampled_from([True, True, True, False]))
DELIVER = step("deliver", item=NUMBER)
EXPIRE = step("expire")
CLOCK = step("clock", seconds=st.sampled_from([1, 5, 31, 31, 400]))
LIMIT = step("limit", category=CATEGORY, workers_max=st.integers(0, 4), revision=st.integers(0, 9))
REPORT = FINISH | FINISH | NOTE | PROGRESS | BEAT | BEGIN_STEP | FINISH_STEP
REST = DRIVE | REPORT | REPORT | CANCEL | DELIVER | EXPIRE
ANY = SUBMIT | CLAIM | CLAIM | REST
# What others can see only whole: a submission or a claim in its stages is no single step to them.
BRIEF = submit(st.just("intent")) | claim(st.just(False)) | claim(st.just(False)) | REST


def machine_on(  # noqa: C901 (its rules are its branches)
    stage: Stage, runner: asyncio.Runner
) -> type[RuleBasedStateMachine]:
    class JobsMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.play = JobsPlay(stage)
            runner.run(self.play.begin())

        def step(self, done: Step) -> None:
            explore.COUNT["jobs"] += 1
            runner.run(self.play.step(done))

        @initialize(first=SUBMIT, second=SUBMIT)
        def something_to_do(self, first: Step, second: Step) -> None:
            for each in (first, second):
                self.step({**each, "upto": "queued"})

        @rule(done=SUBMIT)
        def submit(self, done: Step) -> None:
            self.step(done)

        @rule(done=CLAIM)
        def claim(self, done: Step) -> None:
            self.step(done)

        @rule(done=REPORT)
        def report(self, done: Step) -> None:
            self.step(done)

        @rule(done=FINISH)
        def finish(self, done: Step) -> None:
            self.step(done)

        @rule(done=DRIVE | CANCEL | LIMIT)
        def intervene(self, done: Step) -> None:
            self.step(done)

        @rule(done=CLOCK | EXPIRE)
        def time_passes(self, done: Step) -> None:
            self.step(done)

        @rule(done=DELIVER)
        def deliver(self, done: Step) -> None:
            self.step(done)

        @rule(done=ANY, at=st.integers(0, 30))
        def die(self, done: Step, at: int) -> None:
            self.step({"do": "dies", "at": at, "step": done})

        @rule(done=BRIEF, times=st.integers(2, 3))
        def same_at_once(self, done: Step, times: int) -> None:
            self.step({"do": "at_once", "times": times, "steps": [done]})

        @rule(steps=st.lists(BRIEF, min_size=2, max_size=3))
        def at_once(self, steps: list[Step]) -> None:
            self.step({"do": "at_once", "steps": steps})

    return JobsMachine


@pytest.mark.timeout(0)
def test_any_sequence_of_work_keeps_the_invariants(machines: Ground) -> None:
    def explore_jobs(runner: asyncio.Runner) -> None:
        with explore.stage(runner, machines) as stage:
            explore.explore("jobs", lambda: machine_on(stage, runner), PLAYS, STEPS_MIN)

    in_own_loop(explore_jobs)
