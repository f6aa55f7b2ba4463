"""kill -9 of each process during a job: it ends, once, with its money right."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import Installation
from tests.studio import Member, Studio, eventually

VICTIMS = ["worker", "jobs", "accounts", "works", "templates", "inference", "triton", "gateway"]


async def sampling(member: Member, job_id: str) -> None:
    """Waits until the job's picture is being drawn."""
    async for event in member.events(f"/v1/jobs/{job_id}/events"):
        item = event["data"].get("item", {})
        if event["data"]["type"] == "progress" and item.get("step") == "generate":
            return


async def closed_receipt(member: Member, job_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        try:
            reply = await member.get(f"/v1/jobs/{job_id}/receipt")
        except httpx.TransportError:
            return None
        receipt: dict[str, Any] = reply.json()
        closed = reply.status_code == 200 and (
            receipt["held"] == receipt["captured"] + receipt["released"]
        )
        return receipt if closed else None

    receipt: dict[str, Any] = await eventually(look)
    return receipt


@pytest.mark.parametrize("victim", VICTIMS)
async def test_a_job_survives_the_death_of_any_process(
    studio: Studio, installation: Installation, victim: str
) -> None:
    member = await studio.sign_up()
    reply = await member.submit(
        category="eats", inputs={"text": "카페 신메뉴 딸기 라떼 홍보", "aspect": "3:4"}
    )
    job = reply.json()
    assert reply.status_code == 202, job
    await sampling(member, job["id"])
    await installation.supervisor.kill(victim)
    done = await member.finished(job["id"])
    await installation.supervisor.wait_ready(victim)
    assert (done["state"], done["succeeded_items"]) == ("succeeded", 2), done
    receipt = await closed_receipt(member, job["id"])
    assert (receipt["captured"], receipt["released"]) == (12, 0)
    holds = [entry for entry in receipt["entries"] if entry["kind"] == "hold"]
    assert [entry["amount"] for entry in receipt["entries"]] == [e["amount"] for e in holds]
    assert (await member.get("/v1/credits")).json()["available"] == 88

    async def filled() -> bool:
        batch = (await member.get(f"/v1/batches/{done['batch_id']}")).json()["works"]
        return [work["state"] for work in batch] == ["completed", "completed"]

    assert await eventually(filled)


async def test_events_follow_when_nats_comes_back(
    studio: Studio, installation: Installation
) -> None:
    member = await studio.sign_up()
    await installation.supervisor.kill("nats")
    reply = await member.submit(template_id="general-picture", inputs={"text": "빨간 꽃병"})
    done = await member.finished(reply.json()["id"])
    assert done["state"] == "succeeded"
    await installation.supervisor.wait_ready("nats")
    receipt = await closed_receipt(member, done["id"])
    assert receipt["captured"] == 10
