"""Random fault episodes for as long as it is told: ``python -m tests.faults --seconds 600``."""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from deploy.local import layout, stack
from deploy.local.supervisor import Supervisor
from tests.conftest import HEALTHY_AFTER_SECONDS, TEST_SETTINGS
from tests.faults.episodes import KILLS, PAIRS, Plan, Runner, outages, pauses, plan
from tests.faults.injection import Ground, orders
from tests.faults.load import clients
from tests.faults.truth import Truth
from tests.studio import Studio

LEASE_SECONDS = float(TEST_SETTINGS["ATELIER_LEASE_SECONDS"])
OUTAGE_SECONDS = 2.0


@asynccontextmanager
async def started(data: Path) -> AsyncIterator[Ground]:
    """Starts an installation of its own in a folder, and ends it."""
    places = layout.prepare(data)
    settings = TEST_SETTINGS | {"ATELIER_CRASH_ORDERS": str(orders(places))}
    async with Supervisor(places.logs, healthy_after_seconds=HEALTHY_AFTER_SECONDS) as supervisor:
        async with asyncio.TaskGroup() as starting:
            starting.create_task(stack.start_triton(supervisor, places, settings))
            await stack.start_stores(supervisor, places)
            starting.create_task(stack.start_services(supervisor, places, settings))
        yield Ground(places, supervisor)


def _plans(options: argparse.Namespace) -> list[Plan]:
    """What is run before the random episodes."""
    every = [*KILLS, *PAIRS, *pauses(1.5 * LEASE_SECONDS), *outages(OUTAGE_SECONDS)]
    if options.all:
        return [Plan(options.seed, [(0.5, fault)]) for fault in every]
    if options.only:
        wanted = re.compile(options.only)
        return [Plan(options.seed, [(0.5, f)]) for f in every if wanted.fullmatch(str(f))]
    return []


async def _run(options: argparse.Namespace, data: Path) -> bool:
    is_well = True
    async with started(data) as ground, _api(ground) as http:
        try:
            async with clients(Studio(http), options.seed) as load:
                runner = Runner(ground, load, Truth(ground.layout), _say)
                try:
                    await _run_all(runner, options)
                finally:
                    _sum_up(runner)
        except* (AssertionError, TimeoutError) as broken:
            _say("\n".join(f"VIOLATION {error!r}" for error in broken.exceptions))
            is_well = False
    return is_well


def _api(ground: Ground) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=100)
    return httpx.AsyncClient(
        base_url=ground.layout.gateway_url, timeout=40, trust_env=False, limits=limits
    )


async def _run_all(runner: Runner, options: argparse.Namespace) -> None:
    ends_at = time.monotonic() + options.seconds
    for fixed in _plans(options):
        await runner.run(fixed)
    seed = options.seed
    while time.monotonic() < ends_at and not options.only:
        await runner.run(plan(seed, LEASE_SECONDS))
        seed += 1


def _sum_up(runner: Runner) -> None:
    _say(f"{runner.episodes} episodes, jobs {dict(runner.ended)}, answers {dict(runner.answers)}")
    for fault, count in sorted(runner.faults.items()):
        _say(f"  {count:4} {fault}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Reads the options, runs, and keeps the data folder where a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long")
    parser.add_argument("--seed", type=int, help="of the first episode; each next one adds 1")
    parser.add_argument("--all", action="store_true", help="every single fault and pair first")
    parser.add_argument("--only", help="a regular expression: only these faults, no episodes")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(1 << 31)
    _say(f"seed {options.seed}: the same episodes again by SEED={options.seed}")
    data = Path(tempfile.mkdtemp(prefix="atelier-faults-"))
    data.chmod(0o755)
    is_well = asyncio.run(_run(options, data))
    if is_well:
        shutil.rmtree(data, ignore_errors=True)
    else:
        _say(f"logs and data are left in {data}")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
