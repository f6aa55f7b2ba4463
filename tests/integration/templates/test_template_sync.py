"""Bringing the tables up to the data files, on a real database."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from atelier.templates.v1 import events_pb2
from sqlalchemy.exc import DBAPIError

from kit.database import Database, ReadSession, Row
from kit.identity import Identity, Kind, system
from services.templates import catalogue
from services.templates.sync import VersionRefused, sync
from services.templates.templates import service
from services.templates.templates.paging import ShelfRequest
from services.templates.templates.versions import Versions

HOUSE = system("templates")
Files = Callable[[], Path]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


async def bring_up(database: Database, directory: Path) -> None:
    await database.write(HOUSE, sync, catalogue.read(directory))


async def rows(database: Database, sql: str) -> list[Row]:
    async def query(session: ReadSession) -> list[Row]:
        return list(await session.all(sql))

    return await database.read(HOUSE, query)


async def events(database: Database) -> list[events_pb2.CategoryChanged]:
    found = await rows(database, "SELECT payload FROM outbox ORDER BY id")
    return [events_pb2.CategoryChanged.FromString(bytes(row["payload"])) for row in found]


async def versions(database: Database) -> dict[str, list[int]]:
    sql = "SELECT template_id, version FROM template_version ORDER BY 1, 2"
    found: dict[str, list[int]] = {}
    for row in await rows(database, sql):
        found.setdefault(row["template_id"], []).append(row["version"])
    return found


async def test_the_first_start_publishes_every_category_and_the_next_none(
    database: Database, files: Files
) -> None:
    directory = files()
    await bring_up(database, directory)
    first = await events(database)
    assert {(event.category, event.workers_max) for event in first} == {
        ("general", 5),
        ("fashion", 5),
        ("beauty", 3),
        ("eats", 3),
        ("cinema", 3),
        ("cartoon", 3),
    }
    assert all(event.enabled and event.revision == 1 for event in first)
    await bring_up(database, directory)
    assert await events(database) == first


async def test_a_changed_category_is_published_under_the_next_revision(
    database: Database, files: Files
) -> None:
    directory = files()
    await bring_up(database, directory)
    edit(directory / "categories" / "eats.json", enabled=False, workers_max=1)
    await bring_up(database, directory)
    last = (await events(database))[6:]
    assert last == [
        events_pb2.CategoryChanged(category="eats", enabled=False, workers_max=1, revision=2)
    ]


async def test_a_file_that_changed_under_its_version_is_refused_and_nothing_is_written(
    database: Database, files: Files
) -> None:
    directory = files()
    await bring_up(database, directory)
    edit(directory / "templates" / "eats-advert.json", variations_max=4)
    edit(directory / "templates" / "cinema-poster.json", variations_max=4)
    edit(directory / "categories" / "eats.json", workers_max=9)
    with pytest.raises(VersionRefused) as refused:
        await bring_up(database, directory)
    assert str(refused.value) == "\n".join(
        f"templates/{name}.json: version 1 exists with other content; "
        'versions never change: set "version": 2'
        for name in ("cinema-poster", "eats-advert")
    )
    assert len(await events(database)) == 6


async def test_a_higher_version_is_added_and_the_older_one_is_kept(
    database: Database, files: Files
) -> None:
    directory = files()
    await bring_up(database, directory)
    edit(directory / "templates" / "eats-advert.json", variations_max=4, version=3)
    await bring_up(database, directory)
    kept = await versions(database)
    assert kept["eats-advert"] == [1, 3]
    assert kept["cinema-poster"] == [1]
    version = await database.read(HOUSE, service.get, Versions(), None, "eats-advert")
    assert (version.template.version, version.template.variations_max) == (3, 4)


async def test_an_older_release_beside_a_newer_one_moves_nothing_back(
    database: Database, files: Files
) -> None:
    older, newer = files(), files()
    edit(newer / "templates" / "eats-advert.json", version=2, order=5)
    for directory in (older, newer, older):
        await bring_up(database, directory)
    found = await rows(database, "SELECT version, position FROM template WHERE id = 'eats-advert'")
    assert [(row["version"], row["position"]) for row in found] == [(2, 5)]


async def test_a_version_that_was_skipped_cannot_be_added_later(
    database: Database, files: Files
) -> None:
    directory = files()
    edit(directory / "templates" / "eats-advert.json", version=5)
    await bring_up(database, directory)
    edit(directory / "templates" / "eats-advert.json", version=4)
    with pytest.raises(VersionRefused, match="version 4 is older than the newest"):
        await bring_up(database, directory)


async def test_replicas_that_start_at_once_write_everything_once(
    database: Database, files: Files
) -> None:
    directory = files()
    await asyncio.gather(*(bring_up(database, directory) for _ in range(4)))
    assert len(await events(database)) == 6
    assert all(kept == [1] for kept in (await versions(database)).values())


async def test_a_template_that_is_not_active_is_not_on_the_shelf(
    database: Database, files: Files
) -> None:
    directory = files()
    edit(directory / "templates" / "general-picture.json", active=False)
    await bring_up(database, directory)
    page = await database.read(HOUSE, service.shelf, Versions(), None, "", ShelfRequest.of(100, ""))
    assert len(page.rows) == 7
    assert "general-picture" not in [version.template.id for version in page.rows]


@pytest.mark.parametrize(
    "sql", ["UPDATE template_version SET version = 2", "DELETE FROM template_version"]
)
async def test_the_database_itself_refuses_to_change_a_version(
    database: Database, files: Files, sql: str
) -> None:
    await bring_up(database, files())
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.transaction(HOUSE) as session:
            await session.execute(sql)


async def test_a_template_of_a_user_is_seen_by_that_user_alone(
    database: Database, files: Files
) -> None:
    await bring_up(database, files())
    owner, other = (Identity(Kind.MEMBER, uuid.uuid4()) for _ in range(2))
    async with database.transaction(HOUSE) as session:
        await session.execute(
            "UPDATE template SET owner_id = :owner WHERE id = 'general-picture'",
            owner=owner.user_id,
        )

    async def seen(session: ReadSession) -> int:
        shelf = await session.scalar("SELECT count(*) FROM template")
        kept = await session.scalar("SELECT count(DISTINCT template_id) FROM template_version")
        assert shelf == kept
        return int(shelf)

    assert await database.read(owner, seen) == 8
    assert await database.read(other, seen) == 7
    request = ShelfRequest.of(100, "")
    for identity, expected in ((owner, 8), (other, 7)):
        page = await database.read(HOUSE, service.shelf, Versions(), identity.user_id, "", request)
        assert len(page.rows) == expected, "jobs asks on a user's behalf, as the house"
