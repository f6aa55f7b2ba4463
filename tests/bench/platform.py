"""What the platform adds to a job: a template of one node that does nothing, 32 free slots.

``python -m tests.bench platform``. Submitted over HTTP at 1 and at 50 a second; seen on the user's
live stream. Beside it the CPU time of every process, stores too, per job. Then pictures, by an
engine whose step takes 100 ms: all CPU time of a picture that is not the model's.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from deploy.local import layout, stack
from deploy.local.layout import ROOT, SERVICES, Layout
from deploy.local.part import Part
from deploy.local.supervisor import Supervisor
from tests.bench import _noop
from tests.bench.record import Record, cpu_seconds
from tests.studio import Member, Studio, eventually

SLOTS = 32
SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
RATES = (1, 50)
NOTHING = {"template_id": "noop", "inputs": {"text": "nothing"}}
PICTURE = {"template_id": "general-picture", "inputs": {"text": "a strawberry latte"}}
PICTURES_A_SECOND = 2
_SETTINGS = {
    "ATELIER_SLOTS": str(SLOTS),
    "ATELIER_RATE_MEMBER": "off",
    "ATELIER_WELCOME_CREDITS": "1000000",
}
_PARTS = ("postgres", "nats", "s3", *SERVICES, "inference", "worker", "gateway")


Json = dict[str, Any]


@dataclass
class Seen:
    """When what was seen of each job, by its id."""

    submitted: dict[str, float] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)


async def bench() -> list[Record]:
    data = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    try:
        async with Supervisor(places.logs) as supervisor:
            await _start(supervisor, places)
            url = places.gateway_url
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
                member = await Studio(http).sign_up()
                await _measured(supervisor, member, NOTHING, RATES[0])  # warms up
                records = []
                for rate in RATES:
                    records += await _measured(supervisor, member, NOTHING, rate)
                return records + await _measured(supervisor, member, PICTURE, PICTURES_A_SECOND)
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


async def _start(supervisor: Supervisor, places: Layout) -> None:
    await stack.start_stores(supervisor, places)
    settings = _SETTINGS | {"ATELIER_CATALOGUE_DIR": str(_catalogue(places.data / "catalogue"))}
    parts = [stack.service_part(places, name, settings) for name in SERVICES]
    parts += [stack.worker_part(places, settings), stack.gateway_part(places, settings)]
    inference = stack.inference_part(places, settings, stack.BUNDLED)
    python = inference.command[0]
    paced = replace(inference, command=[python, "-m", "tests.bench._paced"])
    await supervisor.start([paced, *(_with_noop(part) for part in parts)])


def _with_noop(part: Part) -> Part:
    module = part.command[-1]
    return replace(part, command=[sys.executable, "-m", _noop.__name__, module])


def _catalogue(folder: Path) -> Path:
    """The shipped templates and one more, in a category with room for every slot."""
    shutil.copytree(ROOT / "services" / "templates" / "data", folder)
    (folder / "templates" / "noop.json").write_text(json.dumps(_noop.TEMPLATE))
    general = folder / "categories" / "general.json"
    general.write_text(json.dumps(json.loads(general.read_text()) | {"workers_max": SLOTS}))
    return folder


async def _measured(
    supervisor: Supervisor, member: Member, submission: Json, rate: int
) -> list[Record]:
    pids = {part: supervisor.pid(part) for part in _PARTS}
    jobs = max(10, int(SECONDS * rate))
    async with _watched(member) as seen:
        used, began = _cpu_us(pids), time.monotonic()
        await _submit(member, seen, submission, jobs, rate)
        await eventually(lambda: _all_finished(seen, jobs), 300)
        spent = time.monotonic() - began
        shares = {part: (now - used[part]) / jobs for part, now in _cpu_us(pids).items()}
    name = f"platform: {submission['template_id']}, {rate} a second"
    records = [Record(f"{name}, done", jobs / spent, "op/s", cpu_us_per_op=sum(shares.values()))]
    records += [Record(f"{name}, CPU of {part}", us, "us") for part, us in shares.items()]
    for what, at in (("running", seen.started), ("done", seen.finished)):
        delays = [(at[job] - seen.submitted[job]) * 1e3 for job in seen.submitted]
        percentiles = quantiles(delays, n=20)
        records.append(Record(f"{name}, submit to {what}, p50", percentiles[9], "ms"))
        records.append(Record(f"{name}, submit to {what}, p95", percentiles[18], "ms"))
    return records


def _cpu_us(pids: Mapping[str, int]) -> dict[str, float]:
    return {part: cpu_seconds([pid]) * 1e6 for part, pid in pids.items()}


async def _all_finished(seen: Seen, jobs: int) -> bool:
    return len(seen.submitted) == jobs and seen.submitted.keys() <= seen.finished.keys()


async def _submit(member: Member, seen: Seen, submission: Json, jobs: int, rate: int) -> None:
    """Submits at a steady rate, whatever becomes of those before; who is refused comes back."""

    async def one() -> None:
        began, key = time.monotonic(), str(uuid.uuid4())
        reply = await member.submit(key, **submission)
        while reply.status_code == 429:
            await asyncio.sleep(float(reply.headers["retry-after"]))
            reply = await member.submit(key, **submission)
        if reply.status_code != 202:
            raise RuntimeError(reply.text)
        seen.submitted[reply.json()["id"]] = began

    start = time.monotonic()
    async with asyncio.TaskGroup() as submitting:
        for number in range(jobs):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            submitting.create_task(one())


@asynccontextmanager
async def _watched(member: Member) -> AsyncIterator[Seen]:
    """Notes what the live stream of the user tells, from its first event on."""
    seen, opened = Seen(), asyncio.Event()

    async def follow() -> None:
        async for event in member.events("/v1/events"):
            opened.set()
            data, now = event["data"], time.monotonic()
            if event["event"] == "started":
                seen.started.setdefault(data["job_id"], now)
            elif event["event"] == "finished":
                seen.finished[data["job_id"]] = now

    following = asyncio.create_task(follow())
    try:
        await opened.wait()
        yield seen
    finally:
        following.cancel()
