"""The main job, as a client sees it: a request goes in, an advert comes out, the money is right."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.acceptance.doors import nothing_drawn
from tests.conftest import Installation
from tests.studio import Member, Studio, eventually

JPEG_BYTES_MAX = 2_000_000
CANCELS_MAX = 5


async def works_of(member: Member, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the works of a finished job once their events have filled them."""

    async def filled() -> list[dict[str, Any]] | None:
        batch = (await member.get(f"/v1/batches/{job['batch_id']}")).json()["works"]
        open_states = {"pending", "processing"}
        return None if any(work["state"] in open_states for work in batch) else batch

    works: list[dict[str, Any]] = await eventually(filled)
    return works


async def settled(member: Member, job_id: str) -> dict[str, Any]:
    """Returns the receipt of a finished job once every hold is settled."""

    async def closed() -> dict[str, Any] | None:
        receipt = (await member.get(f"/v1/jobs/{job_id}/receipt")).json()
        return receipt if receipt["held"] == receipt["captured"] + receipt["released"] else None

    receipt: dict[str, Any] = await eventually(closed)
    return receipt


async def download(member: Member, work_id: str) -> tuple[dict[str, Any], bytes]:
    offer = (await member.get(f"/v1/works/{work_id}/download")).json()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as plain:
        reply = await plain.get(offer["url"])
    assert reply.status_code == 200
    return offer, reply.content


async def submit(member: Member, **submission: Any) -> dict[str, Any]:
    reply = await member.submit(**submission)
    assert reply.status_code == 202, reply.text
    job: dict[str, Any] = reply.json()
    assert reply.headers["location"] == job["status_url"]
    return job


@pytest.mark.parametrize(
    ("text", "language"),
    [("카페 신메뉴 딸기 라떼 홍보", "ko"), ("a new strawberry latte at our cafe", "en")],
)
async def test_plain_text_becomes_an_advert_and_its_copy(
    member: Member, text: str, language: str
) -> None:
    job = await submit(member, category="eats", inputs={"text": text, "aspect": "3:4"})
    assert job["credits"]["held"] == job["credits"]["quoted"] == 12
    done = await member.finished(job["id"])
    assert (done["state"], done["succeeded_items"], done["progress"]) == ("succeeded", 2, 100)
    picture, copy = sorted(await works_of(member, done), key=lambda work: work["type"])[::-1]
    offer, content = await download(member, picture["id"])
    assert len(content) == offer["size_bytes"] < JPEG_BYTES_MAX
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (810, 1080))
    recipe = json.loads(picture["recipe_json"])
    assert "latte" in recipe["prompt"]
    assert recipe["writer"] == "offline"
    written = json.loads((await download(member, copy["id"]))[1])
    assert written["language"] == language
    assert written["headline"]
    receipt = await settled(member, job["id"])
    assert (receipt["captured"], receipt["released"]) == (12, 0)
    balance = (await member.get("/v1/credits")).json()
    assert (balance["available"], balance["held"]) == (88, 0)


async def test_four_variations_are_four_pictures_paid_one_by_one(member: Member) -> None:
    job = await submit(
        member,
        category="eats",
        variations=4,
        inputs={"text": "카페 신메뉴 딸기 라떼 홍보", "aspect": "1:1", "seed": 11},
    )
    assert job["credits"]["quoted"] == 42
    done = await member.finished(job["id"])
    assert (done["state"], done["succeeded_items"]) == ("succeeded", 5)
    works = await works_of(member, done)
    pictures = [work for work in works if work["type"] == "promotional_image"]
    assert sorted(work["variation"] for work in pictures) == [1, 2, 3, 4]
    recipes = [json.loads(work["recipe_json"]) for work in pictures]
    assert len({recipe["seed"] for recipe in recipes}) == 4
    assert len({recipe["prompt"] for recipe in recipes}) == 1
    assert len({work["file"]["sha256"] for work in pictures}) == 4
    assert (await settled(member, job["id"]))["captured"] == 42


async def test_the_event_stream_tells_the_story_and_can_be_resumed(member: Member) -> None:
    job = await submit(member, template_id="general-picture", inputs={"text": "빨간 꽃병"})
    url = job["events_url"]
    # EventSource sends no headers: the ticket in the address is enough.
    anonymous = Studio(member.http)
    events = [event["data"] async for event in anonymous.events(url)]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    types = [event["type"] for event in events]
    assert types[0] == "queued"
    assert types[1] == "started"
    assert types[-2:] == ["item_finished", "finished"]
    assert any(event["preview"].startswith("data:image/jpeg;base64,") for event in events)
    resumed = [event async for event in member.events(url.partition("?")[0], str(len(events) - 2))]
    assert [event["data"]["sequence"] for event in resumed] == [len(events) - 1, len(events)]


async def canceled_while_sampling(member: Member) -> dict[str, Any]:
    """Cancels four pictures once one of them is being drawn, and returns how the job ended."""
    job = await submit(
        member, template_id="general-picture", variations=4, inputs={"text": "파란 가방"}
    )
    async for event in member.events(f"/v1/jobs/{job['id']}/events"):
        if event["data"]["type"] == "progress" and event["data"]["item"]["step"] == "generate":
            break
    assert (await member.post(job["cancel_url"])).status_code == 200
    return await member.finished(job["id"])


async def test_cancel_while_sampling_stops_it_and_costs_nothing(studio: Studio) -> None:
    for _ in range(CANCELS_MAX):
        member = await studio.sign_up()
        done = await canceled_while_sampling(member)
        receipt = await settled(member, done["id"])
        assert receipt["captured"] == 10 * done["succeeded_items"]
        assert receipt["captured"] + receipt["released"] == receipt["held"]
        if not done["succeeded_items"]:  # else one was drawn before this test could say no
            break
    assert (done["state"], done["canceled_items"]) == ("canceled", 4)
    assert (await member.get("/v1/credits")).json()["available"] == 100
    again = (await member.post(done["cancel_url"])).json()
    assert again["state"] == "canceled"


async def test_a_member_cannot_touch_what_is_anothers(studio: Studio, member: Member) -> None:
    other = await studio.sign_up()
    job = await submit(member, template_id="general-picture", inputs={"text": "초록 화분"})
    done = await member.finished(job["id"])
    [work] = await works_of(member, done)
    await settled(member, job["id"])
    project = done["project_id"]
    missing = "0195f0aa-0000-7000-8000-000000000000"
    for method, path in (
        ("GET", "/v1/jobs/{job}"),
        ("POST", "/v1/jobs/{job}/cancel"),
        ("GET", "/v1/jobs/{job}/events"),
        ("GET", "/v1/jobs/{job}/receipt"),
        ("GET", "/v1/works/{work}"),
        ("GET", "/v1/works/{work}/download"),
        ("PATCH", "/v1/works/{work}"),
        ("DELETE", "/v1/works/{work}"),
        ("POST", "/v1/works/{work}/publish"),
        ("GET", "/v1/batches/{batch}"),
        ("GET", "/v1/projects/{project}"),
    ):
        named = {"job": job["id"], "work": work["id"], "batch": done["batch_id"]}
        body = {"json": {"title": "mine"}} if method == "PATCH" else {}
        theirs = path.format(**named, project=project)
        nothing = path.format(job=missing, work=missing, batch=missing, project=missing)
        seen = await other.request(method, theirs, **body)
        absent = await other.request(method, nothing, **body)
        assert seen.status_code == absent.status_code == 404, path
        assert seen.json() | {"request_id": ""} == absent.json() | {"request_id": ""}, path
    pays = await other.submit(
        template_id="general-picture", project_id=project, inputs={"text": "초록 화분"}
    )
    assert (pays.status_code, pays.json()["code"]) == (404, "not_found")
    assert (await other.get("/v1/credits")).json() == {
        "available": 100,
        "subscription": 0,
        "purchased": 100,
        "held": 0,
    }


async def test_a_work_is_renamed_published_and_deleted_by_its_owner(
    member: Member, installation: Installation
) -> None:
    with nothing_drawn(installation):
        job = await submit(member, template_id="general-picture", inputs={"text": "노란 운동화"})
        pending = await member.request("DELETE", f"/v1/works/{job['items'][0]['work_id']}")
    assert (pending.status_code, pending.json()["code"]) == (409, "wrong_state")
    done = await member.finished(job["id"])
    [work] = await works_of(member, done)
    path = f"/v1/works/{work['id']}"
    changed = await member.request(
        "PATCH", path, json={"title": "봄 신상", "tags": {"values": ["봄"]}}
    )
    assert (changed.json()["title"], changed.json()["tags"]) == ("봄 신상", ["봄"])
    assert (await member.post(f"{path}/publish")).json()["is_public"] is True
    assert (await member.post(f"{path}/unpublish")).json()["is_public"] is False
    found = (await member.get("/v1/works", params={"tag": "봄", "state": "completed"})).json()
    assert [each["id"] for each in found["data"]] == [work["id"]]
    assert (await member.request("DELETE", path)).status_code == 204
    assert (await member.get(path)).status_code == 404


async def test_a_guest_makes_one_picture(studio: Studio) -> None:
    guest = await studio.guest()
    job = await submit(guest, template_id="general-picture", inputs={"text": "분홍 풍선"})
    assert (await guest.finished(job["id"]))["state"] == "succeeded"
    again = await guest.submit(template_id="general-picture", inputs={"text": "분홍 풍선"})
    assert (again.status_code, again.json()["code"]) == (402, "insufficient_credits")
