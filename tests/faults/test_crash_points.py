"""A process killed at each named point: the job ends by itself, once, with its money right."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from deploy.local import stack
from tests.conftest import TEST_SETTINGS, Installation
from tests.faults.test_kill import closed_receipt
from tests.studio import Member, Studio, eventually

ROOT = Path(__file__).resolve().parents[2]
# Which process is killed at which point.
POINTS = {
    "submit.intent_written": "jobs",
    "submit.held": "jobs",
    "submit.works_created": "jobs",
    "submit.queued": "jobs",
    "claim.leased": "jobs",
    "finish.recorded": "jobs",
    "relay.before_publish": "jobs",
    "relay.published": "jobs",
    "consume.taken_effect": "accounts",
}


def test_every_crash_point_of_the_code_is_tried() -> None:
    written = {
        name
        for folder in ("kit", "services", "inference", "gateway")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'crash_point\("([^"]+)"\)', file.read_text())
    }
    assert written == set(POINTS)


async def try_to_submit(member: Member) -> str | None:
    """Submits with one and the same key; returns the job's id where an answer comes."""
    try:
        reply = await member.submit(
            key="the-one", template_id="general-picture", inputs={"text": "빨간 꽃병"}
        )
    except httpx.TransportError:
        return None
    return str(reply.json()["id"]) if reply.status_code == 202 else None


@pytest.mark.parametrize("point", POINTS)
async def test_a_job_survives_a_crash_at(
    studio: Studio, installation: Installation, point: str
) -> None:
    supervisor, places = installation.supervisor, installation.layout
    member = await studio.sign_up()
    victim = POINTS[point]
    healthy = stack.service_part(places, victim, TEST_SETTINGS)
    doomed = stack.service_part(places, victim, TEST_SETTINGS | {"ATELIER_CRASH_AT": point})
    await supervisor.stop(victim)
    await supervisor.start([replace(doomed, restarts=False)])
    try:
        ended = asyncio.create_task(supervisor.wait_ended(victim))
        while not ended.done():  # the gateway may not have found the process that is to die yet
            await try_to_submit(member)
            await asyncio.wait([ended], timeout=0.5)
    finally:
        await supervisor.stop(victim)
        await supervisor.start([healthy])
    job_id = await eventually(lambda: try_to_submit(member))
    done = await member.finished(job_id)
    assert done["state"] == "succeeded", done
    receipt = await closed_receipt(member, job_id)
    assert (receipt["captured"], receipt["released"]) == (10, 0)

    async def balance_is_right() -> bool:
        balance = (await member.get("/v1/credits")).json()
        return (balance["available"], balance["held"]) == (90, 0)

    assert await eventually(balance_is_right)
    assert len((await member.get("/v1/jobs")).json()["data"]) == 1
    assert len((await member.get("/v1/works")).json()["data"]) == 1
