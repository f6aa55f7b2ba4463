"""Live streams of a job, a batch and a user: in order, resumed without a gap, for their owner."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from tests.acceptance.doors import gateway_with, nothing_drawn
from tests.conftest import Installation
from tests.studio import Member, Studio

PICTURE = {"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}}


async def canceled_job(member: Member) -> dict[str, Any]:
    """A job that is over at once, or at its next step."""
    job: dict[str, Any] = (await member.submit(**PICTURE)).json()
    await member.post(job["cancel_url"])
    return await member.finished(job["id"])


async def until_finished(events: Any, jobs: int) -> list[dict[str, Any]]:
    """Reads a stream until so many jobs are final, and closes it."""
    seen = []
    async with aclosing(events):
        async for event in events:
            seen.append(event)
            jobs -= event["event"] == "finished"
            if not jobs:
                break
    return seen


async def first_of(events: Any) -> dict[str, Any]:
    """Reads one event of a stream, and closes it."""
    async with aclosing(events):
        event: dict[str, Any] = await anext(events)
        return event


async def test_one_stream_tells_of_all_jobs_of_a_user_in_one_order(member: Member) -> None:
    stream = member.events("/v1/events")
    first = await anext(stream)
    assert (first["event"], first["id"]) == ("open", "0")
    jobs = [await canceled_job(member) for _ in range(2)]
    seen = await until_finished(stream, 2)
    assert [int(event["id"]) for event in seen] == list(range(1, len(seen) + 1))
    assert {event["data"]["job_id"] for event in seen} == {job["id"] for job in jobs}
    assert {event["data"]["batch_id"] for event in seen} == {job["batch_id"] for job in jobs}
    again = await until_finished(member.events("/v1/events", "0"), 2)
    assert [event["data"] for event in again[1:]] == [event["data"] for event in seen]
    middle = seen[1]["id"]
    rest = await until_finished(member.events("/v1/events", middle), 2)
    assert [event["id"] for event in rest] == [str(n) for n in range(int(middle), len(seen) + 1)]


async def test_without_a_place_the_stream_begins_now(member: Member) -> None:
    await canceled_job(member)
    newest = (await first_of(member.events("/v1/events")))["id"]
    assert int(newest) > 0
    job = await canceled_job(member)
    seen = await until_finished(member.events("/v1/events", newest), 1)
    assert {event["data"]["job_id"] for event in seen[1:]} == {job["id"]}


async def test_a_batch_has_a_stream_that_ends_with_its_jobs(member: Member) -> None:
    job = (await member.submit(**PICTURE)).json()
    other = await canceled_job(member)
    await member.post(job["cancel_url"])
    url = f"/v1/batches/{job['batch_id']}/events"
    seen = [event async for event in member.events(url)]
    assert seen[0]["event"] == "open"
    assert seen[-1]["event"] == "finished"
    assert {event["data"]["job_id"] for event in seen[1:]} == {job["id"]} != {other["id"]}
    resumed = [event async for event in member.events(url, seen[-2]["id"])]
    assert [event["data"]["type"] for event in resumed] == ["open", "finished"]


async def test_streams_tell_what_polling_tells(member: Member) -> None:
    job = (await member.submit(**PICTURE)).json()
    url = f"/v1/jobs/{job['id']}/events"
    told = [event["data"] async for event in member.events(url)]
    polled = (await member.get(job["status_url"])).json()
    assert (polled["state"], polled["progress"]) == (told[-1]["state"], told[-1]["progress"])
    assert polled["sequence"] == told[-1]["sequence"]


async def test_a_ticket_opens_one_stream_of_its_owner(studio: Studio, member: Member) -> None:
    job = await canceled_job(member)
    everything = (await member.post("/v1/events/tickets", json={})).json()
    body = {"batch_id": job["batch_id"]}
    batch = (await member.post("/v1/events/tickets", json=body)).json()
    assert everything["expires_in"] == 600
    assert (await first_of(studio.events(everything["events_url"])))["event"] == "open"
    seen = [event async for event in studio.events(batch["events_url"])]
    assert seen[-1]["event"] == "finished"
    wrong = [
        everything["events_url"].replace("/v1/events", f"/v1/batches/{job['batch_id']}/events"),
        batch["events_url"].replace(f"/v1/batches/{job['batch_id']}/events", "/v1/events"),
        "/v1/events",
        "/v1/events?ticket=forged",
    ]
    for url in wrong:
        reply = await studio.http.get(url)
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated"), url
    other = await studio.sign_up()
    assert (await other.post("/v1/events/tickets", json=body)).status_code == 404
    stranger = await other.get(f"/v1/batches/{job['batch_id']}/events")
    assert (stranger.status_code, stranger.json()["code"]) == (404, "not_found")


async def test_a_stream_of_another_user_says_nothing_of_mine(
    studio: Studio, member: Member
) -> None:
    other = await studio.sign_up()
    mine, theirs = member.events("/v1/events"), other.events("/v1/events")
    await asyncio.gather(anext(mine), anext(theirs))
    job, their_job = await canceled_job(member), await canceled_job(other)
    assert {e["data"]["job_id"] for e in await until_finished(mine, 1)} == {job["id"]}
    assert {e["data"]["job_id"] for e in await until_finished(theirs, 1)} == {their_job["id"]}


@pytest.mark.parametrize("stop", ["kill", "stop"])
async def test_nothing_is_missed_over_a_restart_of_the_gateway(
    installation: Installation, stop: str
) -> None:
    supervisor = installation.supervisor
    async with gateway_with(installation) as door:
        member = await door.sign_up()
        with nothing_drawn(installation):  # the story does not end before the gateway does
            job = (await member.submit(**PICTURE)).json()
            url = f"/v1/jobs/{job['id']}/events"
            first = await read_until_broken(member, url, installation, stop)
            assert first, "something was seen before"
            if stop == "kill":
                await supervisor.wait_ready("door")
            else:
                await supervisor.start_again("door")
        rest = [event async for event in member.events(url, first[-1]["id"])]
        ids = [int(event["id"]) for event in first + rest]
        assert ids == list(range(1, len(ids) + 1))
        assert rest[-1]["event"] == "finished"


async def read_until_broken(
    member: Member, url: str, installation: Installation, stop: str
) -> list[dict[str, Any]]:
    """Reads events, ends the gateway after the second, and reads on until the stream breaks."""
    seen: list[dict[str, Any]] = []
    ending: asyncio.Task[None] | None = None
    end = getattr(installation.supervisor, stop)
    try:
        async for event in member.events(url):
            seen.append(event)
            if len(seen) == 2:
                ending = asyncio.create_task(end("door"))
    except httpx.TransportError:
        pass
    if ending:
        await ending
    return seen
