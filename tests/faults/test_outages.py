"""Processes and servers that die, hang, go away or forget, while ten clients submit."""

from __future__ import annotations

import random
import time

import pytest

from tests.conftest import TEST_SETTINGS
from tests.faults.episodes import KILLS, PAIRS, Plan, Runner, outages, pauses, plan
from tests.faults.injection import SERVERS
from tests.faults.seeds import seed

LEASE_SECONDS = float(TEST_SETTINGS["ATELIER_LEASE_SECONDS"])
PAIRS_TRIED = 2
OUTAGE_SECONDS = 2.0
EPISODES_SECONDS = 15.0
# One after another, each healed before the next. Pairs differ from commit to commit.
OUTAGES = {
    "services": KILLS[:4],
    "workers and the door": KILLS[4:],
    "pairs": random.Random(seed()).sample(PAIRS, PAIRS_TRIED),
    "hanging workers": pauses(1.5 * LEASE_SECONDS, ("worker", "triton")),
    **{
        server: [
            *(fault for fault in outages(OUTAGE_SECONDS) if fault.targets == (server,)),
            *pauses(1.5 * LEASE_SECONDS, (server,)),
        ]
        for server in SERVERS
    },
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_everything_accepted_ends_and_is_paid_right(runner: Runner, name: str) -> None:
    steps = [(0.0, fault) for fault in OUTAGES[name]]
    await runner.run(Plan(seed(), steps, one_by_one=True))


async def test_random_episodes(runner: Runner) -> None:
    first, ends_at = seed(), time.monotonic() + EPISODES_SECONDS
    while time.monotonic() < ends_at:
        await runner.run(plan(first + runner.episodes, LEASE_SECONDS))
    assert runner.episodes


async def test_jobs_start_and_end_while_nats_is_away(runner: Runner) -> None:
    supervisor = runner.ground.supervisor
    await supervisor.stop("nats")
    try:
        await supervisor.kill("jobs")
        await supervisor.wait_ready("jobs")
        async with runner.load.on() as tally:
            await runner.load.jobs_ended(3)
    finally:
        await supervisor.start_again("nats")
    assert set(tally.ended) == {"succeeded"}
    await runner.truth.check(tally.accepted)
