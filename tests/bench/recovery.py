"""How long a killed part keeps a picture waiting: from the kill to the next step of its item.

With the shipped lease (30 s) and sweep (5 s). A worker's death is found by its lease; that of
inference or Triton by the worker, whose attempt fails at once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from deploy.local import layout, stack
from deploy.local.supervisor import Supervisor
from tests.bench.record import Record
from tests.studio import Member, Studio

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PARTS = ("worker", "inference", "triton", "jobs")


async def bench() -> list[Record]:
    data = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    try:
        async with Supervisor(places.logs) as supervisor:
            await stack.start(supervisor, places)
            async with httpx.AsyncClient(
                base_url=places.gateway_url, timeout=120, trust_env=False
            ) as http:
                for _ in range(ROUNDS):
                    for part in PARTS:
                        member = await Studio(http).sign_up()
                        seconds[part].append(await _waited(supervisor, member, part))
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)
    return [
        Record(f"kill of {part} to the item's next step", median(found), "s")
        for part, found in seconds.items()
    ]


async def _waited(supervisor: Supervisor, member: Member, part: str) -> float:
    reply = await member.submit(template_id="general-picture", inputs={"text": "빨간 꽃병"})
    job = reply.json()
    killed_at, killed_in = 0.0, 0
    async for event in _events(member, job["id"]):
        item = event["data"].get("item", {})
        if not killed_at and item.get("step") == "generate":
            killed_at, killed_in = time.monotonic(), int(event["id"])
            await supervisor.kill(part)
        # One report may have been on its way when the part was killed.
        elif killed_at and event["data"]["type"] == "progress" and int(event["id"]) > killed_in + 1:
            break
    waited = time.monotonic() - killed_at
    await member.finished(job["id"])
    await supervisor.wait_ready(part)
    return waited


async def _events(member: Member, job_id: str) -> AsyncIterator[dict[str, Any]]:
    """Yields the job's events, over again where the stream broke."""
    last = ""
    while True:
        try:
            async for event in member.events(f"/v1/jobs/{job_id}/events", last):
                last = event["id"]
                yield event
        except (httpx.TransportError, AssertionError):
            continue
