"""Lists through the door, by everything that they can be asked for."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from atelier.jobs.v1 import jobs_pb2
from atelier.works.v1 import works_pb2

from tests.acceptance.doors import nothing_drawn
from tests.conftest import Installation
from tests.studio import Member, eventually

PICTURE: dict[str, Any] = {"template_id": "general-picture", "inputs": {"text": "빨간 꽃병"}}
SECOND = dt.timedelta(seconds=1)
NOBODYS = "00000000-0000-7000-8000-000000000000"
WORKS = {"type": "short_video", "state": "draft", "tag": "초록", "category": "beauty"}
JOBS = {"state": "expired", "category": "beauty"}
BOTH = {"project_id": NOBODYS, "batch_id": NOBODYS, "template_id": "eats-advert"}


@pytest.mark.parametrize(
    ("path", "request_of", "others"),
    [
        ("/v1/works", works_pb2.ListWorksRequest, WORKS | BOTH),
        ("/v1/jobs", jobs_pb2.ListJobsRequest, JOBS | BOTH),
    ],
)
async def test_every_filter_shows_what_fits_and_leaves_out_what_does_not(
    member: Member,
    installation: Installation,
    path: str,
    request_of: Any,
    others: dict[str, str],
) -> None:
    with nothing_drawn(installation):
        job = (await member.submit(**PICTURE)).json()
        await member.post(job["cancel_url"])

    async def listed(**query: str) -> list[dict[str, Any]]:
        reply = await member.get(path, params=query)
        assert reply.status_code == 200, reply.text
        rows: list[dict[str, Any]] = reply.json()["data"]
        return rows

    async def canceled() -> Any:
        return [row for row in await listed() if row["state"] == "canceled"]

    [row] = await eventually(canceled)
    at = dt.datetime.fromisoformat(row["created_at"])
    fits = {name: row[name] for name in others if name != "tag"}
    if "tag" in others:
        fits["tag"] = row["tags"][0]
    fits |= {"created_from": at.isoformat(), "created_to": (at + SECOND).isoformat()}
    others = others | {"created_from": (at + SECOND).isoformat(), "created_to": at.isoformat()}
    assert set(fits) | {"limit", "after"} == set(request_of.DESCRIPTOR.fields_by_name)
    for name in fits:
        assert [each["id"] for each in await listed(**{name: fits[name]})] == [row["id"]], name
        assert await listed(**{name: others[name]}) == [], name
    assert [each["id"] for each in await listed(**fits)] == [row["id"]]


async def test_a_date_that_is_none_is_refused_by_name(member: Member) -> None:
    for path in ("/v1/works", "/v1/jobs"):
        reply = await member.get(path, params={"created_from": "yesterday"})
        assert reply.status_code == 400
        assert [fault["field"] for fault in reply.json()["errors"]] == ["created_from"]
