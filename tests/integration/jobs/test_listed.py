"""The list of jobs by everything that it can be asked for."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import pytest
from atelier.jobs.v1 import jobs_pb2 as pb

from kit.database import Database
from kit.errors import InvalidArgument
from kit.identity import system
from kit.ids import uuid7
from kit.paging import PageRequest
from kit.testing.databases import move_clock
from services.jobs.submission import api, service
from services.jobs.submission.domain import NewJob
from tests.databases import Urls
from tests.integration.jobs.test_queue import enqueue, new_job

HOUSE = system("jobs")
DAY = dt.timedelta(days=1)
FIRST, LAST = (each.replace(tzinfo=dt.UTC) for each in (dt.datetime.min, dt.datetime.max))  # noqa: DTZ901


async def made(database: Database, like: NewJob, **changes: Any) -> str:
    """Queues a job that is like another but for some things, and returns its id."""
    items = [replace(item, id=uuid7(), work_id=uuid7()) for item in like.items]
    job = replace(like, id=uuid7(), items=items, **changes)
    await enqueue(database, job)
    return str(job.id)


async def listed(database: Database, user: uuid.UUID, **fields: Any) -> list[str]:
    """Reads the ids that a request shows, newest first."""
    if "state" in fields:
        fields["state"] = pb.State.Value(f"STATE_{fields['state'].upper()}")
    texts = {name: str(each) for name, each in fields.items() if isinstance(each, uuid.UUID)}
    asked = pb.ListJobsRequest(**{**fields, **texts})
    wanted = PageRequest.of(asked.limit, asked.after)
    page = await database.read(HOUSE, service.list_jobs, user, wanted, api._filter(asked))
    return [str(seen.job["id"]) for seen in page.rows]


async def test_every_filter_leaves_out_what_it_does_not_fit_and_nothing_else(
    database: Database,
) -> None:
    like = new_job()
    user = like.user_id
    others = {
        "project_id": uuid7(),
        "batch_id": uuid7(),
        "category": "beauty",
        "template_id": "eats-menu",
    }
    ids = {"": await made(database, like)}
    for name, value in others.items():
        ids[name] = await made(database, like, **{name: value})
    ids["state"] = await made(database, like)
    await database.write(HOUSE, service.cancel, user, uuid.UUID(ids["state"]))
    first = {name: getattr(like, name) for name in others} | {"state": "queued"}
    for name, value in {**others, "state": "canceled"}.items():
        assert await listed(database, user, **{name: value}) == [ids[name]], name
        rest = [each for key, each in ids.items() if key != name]
        assert await listed(database, user, **{name: first[name]}) == rest[::-1], name
    assert await listed(database, user, **first) == [ids[""]]
    assert await listed(database, user) == list(ids.values())[::-1]


async def test_a_date_is_from_then_on_and_before_then(database: Database, urls: Urls) -> None:
    like, ids, at = new_job(), [], []
    user = like.user_id
    for days in range(3):
        await move_clock(urls.owner, days * DAY)
        ids.append(await made(database, like))
        seen = await database.read(HOUSE, service.get, user, uuid.UUID(ids[-1]))
        at.append(seen.job["created_at"])
    assert await listed(database, user, created_from=at[1]) == [ids[2], ids[1]]
    assert await listed(database, user, created_to=at[1]) == [ids[0]]
    assert await listed(database, user, created_from=at[1], created_to=at[2]) == [ids[1]]
    ends = {"created_from": FIRST, "created_to": LAST}
    assert await listed(database, user, **ends) == ids[::-1]


@pytest.mark.parametrize("name", ["created_from", "created_to"])
def test_a_time_that_no_calendar_has_is_refused(name: str) -> None:
    asked = pb.ListJobsRequest()
    getattr(asked, name).seconds = -(2**60)
    with pytest.raises(InvalidArgument):
        api._filter(asked)
