"""The history of works by everything that it can be asked for."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from atelier.works.v1 import works_pb2 as pb

from kit.database import Database
from kit.errors import InvalidArgument
from kit.identity import system
from kit.ids import uuid7
from kit.paging import PageRequest
from kit.testing.databases import move_clock
from services.works.projects import service as projects
from services.works.projects import store as project_store
from services.works.projects.domain import NewProject
from services.works.works import api, service, store
from tests.databases import Urls

HOUSE = system("works")
NEWEST = PageRequest.of(100, "")
DAY = dt.timedelta(days=1)
FIRST, LAST = (each.replace(tzinfo=dt.UTC) for each in (dt.datetime.min, dt.datetime.max))  # noqa: DTZ901


class History:
    """Works of one owner, each unlike the first in one thing."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = uuid.uuid4()
        self.made: list[uuid.UUID] = []

    async def first(self) -> dict[str, Any]:
        """Makes the first project and says what the first work is like."""
        project = await self.database.write(HOUSE, projects.ensure_first, self.owner, "ko")
        return {
            "project_id": project["id"],
            "batch_id": uuid7(),
            "type": "promotional_image",
            "state": "pending",
            "tag": "latte",
            "category": "eats",
            "template_id": "eats-advert",
        }

    async def other_project(self) -> uuid.UUID:
        """Makes another project."""
        project = NewProject("another", "", "", "ko", is_default=False)
        project_id = uuid7()
        await self.database.write(HOUSE, project_store.insert, project_id, self.owner, project)
        return project_id

    async def make(self, like: dict[str, Any]) -> str:
        """Makes a work and returns its id."""
        work_id = uuid7()
        batch = service.NewBatch(
            job_id=uuid7(),
            batch_id=like["batch_id"],
            project_id=like["project_id"],
            owner_id=self.owner,
            category=like["category"],
            template_id=like["template_id"],
            inputs_json="{}",
            text=like["tag"],
            works=[(work_id, like["type"], 1)],
        )
        await self.database.write(HOUSE, service.create, batch)
        if like["state"] != "pending":
            await self.database.write(HOUSE, store.advance, work_id, like["state"])
        self.made.append(work_id)
        return str(work_id)

    async def listed(self, request: pb.ListWorksRequest) -> list[str]:
        """Reads the ids that a request shows, newest first."""
        wanted = PageRequest.of(request.limit, request.after)
        page = await self.database.read(HOUSE, store.page, self.owner, wanted, api._filter(request))
        return [str(row["id"]) for row in page.rows]


def request(**fields: Any) -> pb.ListWorksRequest:
    words = {"type": pb.WorkType, "state": pb.WorkState}
    for name, enum in words.items():
        if name in fields:
            fields[name] = enum.Value(f"WORK_{name.upper()}_{fields[name].upper()}")
    texts = {name: str(each) for name, each in fields.items() if isinstance(each, uuid.UUID)}
    return pb.ListWorksRequest(**{**fields, **texts})


async def test_every_filter_leaves_out_what_it_does_not_fit_and_nothing_else(
    database: Database,
) -> None:
    history = History(database)
    first = await history.first()
    others = {
        "project_id": await history.other_project(),
        "batch_id": uuid7(),
        "type": "marketing_copy",
        "state": "processing",
        "tag": "mocha",
        "category": "beauty",
        "template_id": "eats-menu",
    }
    ids = {"": await history.make(first)}
    for name, value in others.items():
        ids[name] = await history.make({**first, name: value})
    for name, value in others.items():
        assert await history.listed(request(**{name: value})) == [ids[name]], name
        rest = [each for key, each in ids.items() if key != name]
        assert await history.listed(request(**{name: first[name]})) == rest[::-1], name
    assert await history.listed(request(**first)) == [ids[""]]
    assert await history.listed(request()) == list(ids.values())[::-1]


async def test_a_date_is_from_then_on_and_before_then(database: Database, urls: Urls) -> None:
    history = History(database)
    first = await history.first()
    ids = []
    for days in range(3):
        await move_clock(urls.owner, days * DAY)
        ids.append(await history.make(first))
    page = await database.read(HOUSE, store.page, history.owner, NEWEST, store.Filter())
    at = [row["created_at"] for row in reversed(page.rows)]
    assert await history.listed(request(created_from=at[1])) == [ids[2], ids[1]]
    assert await history.listed(request(created_to=at[1])) == [ids[0]]
    assert await history.listed(request(created_from=at[1], created_to=at[2])) == [ids[1]]
    assert await history.listed(request(created_from=at[2], created_to=at[1])) == []
    ends = {"created_from": FIRST, "created_to": LAST}
    assert await history.listed(request(**ends)) == ids[::-1]


async def test_pages_of_a_filter_follow_each_other(database: Database) -> None:
    history = History(database)
    first = await history.first()
    menus = []
    for _ in range(4):
        await history.make(first)
        menus.append(await history.make({**first, "template_id": "eats-menu"}))
    asked = request(template_id="eats-menu", limit=3)
    page = await database.read(
        HOUSE, store.page, history.owner, PageRequest.of(3, ""), api._filter(asked)
    )
    assert [str(row["id"]) for row in page.rows] == menus[:0:-1]
    asked.after = page.next_cursor
    assert await history.listed(asked) == [menus[0]]


@pytest.mark.parametrize("name", ["created_from", "created_to"])
def test_a_time_that_no_calendar_has_is_refused(name: str) -> None:
    asked = pb.ListWorksRequest()
    getattr(asked, name).seconds = 2**60
    with pytest.raises(InvalidArgument):
        api._filter(asked)
