"""The second wall: without any one of our owner filters a foreign row stays unseen and unchanged.

Every filter in every store is found by its text and taken out in turn; then everything that a user
may do is tried on what another one owns. A filter that none of these calls reaches must be one of
the house's own, which row-level security does not hold back.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from atelier.jobs.v1 import events_pb2, queue_pb2
from sqlalchemy import event
from sqlalchemy.engine import Engine

from kit.database import Database
from kit.errors import DomainError
from kit.identity import Identity, Kind, system
from kit.paging import PageRequest
from services.accounts.credits import service as credits_service
from services.accounts.credits import store as credits_store
from services.accounts.credits.domain import Grant, Line
from services.accounts.identity.store import insert_guest
from services.accounts.keys import service as keys_service
from services.accounts.keys import store as keys_store
from services.jobs.live import store as live_store
from services.jobs.queue import service as queue_service
from services.jobs.queue import store as queue_store
from services.jobs.queue.store import Lease
from services.jobs.submission import service as jobs_service
from services.jobs.submission import store as jobs_store
from services.works.files import service as files_service
from services.works.files import store as files_store
from services.works.files.domain import FileRefused, NewFile
from services.works.projects import service as projects_service
from services.works.projects import store as projects_store
from services.works.projects.domain import NewProject
from services.works.works import events as works_events
from services.works.works import service as works_service
from services.works.works import store as works_store
from tests.conftest import Installation
from tests.databases import Template, Urls, template
from tests.integration.jobs.test_queue import new_job

FILTER = re.compile(r"(?:\w+\.)?(?:owner_id|user_id) = :(?:owner_id|user_id)")
STATEMENT = re.compile(r"\s*(SELECT|UPDATE|INSERT|DELETE)")
EVERYTHING = PageRequest.of(100, "")
STORES = {
    "jobs": [jobs_store, live_store, queue_store],
    "works": [works_store, projects_store, files_store],
    "accounts": [credits_store, keys_store],
}
# Run under <service>_system only: by consumers, sweepers and calls between services.
HOUSE_ONLY = {
    "_DEFAULT",
    "_JOB_BY_KEY",
    "_LOCK_WALLET",
    "_LOTS",
    "_AVAILABLE",
}


@dataclass
class Room:
    """A database in which one user owns something, and another looks for it.

    Attributes:
        database: The service's own, under its serving role.
        urls: Its addresses.
        probes: What a user may do, tried by the other one on what the owner has.
    """

    database: Database
    urls: Urls
    probes: list[Callable[[], Awaitable[object]]]


Probe = Callable[[], Awaitable[object]]
OWNER, OTHER = uuid.uuid4(), uuid.uuid4()
STRANGER = Identity(Kind.MEMBER, user_id=OTHER)


def reads(database: Database, query: Any, *args: Any) -> Probe:
    return lambda: database.read(STRANGER, query, *args)


def writes(database: Database, use_case: Any, *args: Any, **kwargs: Any) -> Probe:
    return lambda: database.write(STRANGER, use_case, *args, **kwargs)


async def jobs_room(database: Database) -> list[Probe]:
    house = system("jobs")
    job = new_job(items=2, user=OWNER)

    async def prepare(session: Any) -> None:
        await queue_store.ensure_category(session, job.category, 9)
        await jobs_store.insert(session, job, 60.0)
        await jobs_service.enqueue(session, job.id, {})

    await database.write(house, prepare)
    [row] = await database.write(house, queue_store.claim, ["gpu"], "w", 1, 60.0)
    await database.write(house, queue_service.note_started, Lease(row["id"], row["token"]))
    return [
        reads(database, jobs_service.get, OTHER, job.id),
        reads(database, jobs_service.list_jobs, OTHER, EVERYTHING, jobs_store.Filter()),
        reads(database, jobs_store.page, OTHER, EVERYTHING, jobs_store.Filter("", job.project_id)),
        writes(database, jobs_service.cancel, OTHER, job.id),
        reads(database, live_store.after, job.id, 0, 100),
        reads(database, live_store.feed_after, OTHER, 0, 100),
        reads(database, live_store.feed_sequence, OTHER),
        reads(database, live_store.jobs_of_batch, OTHER, job.batch_id),
        reads(database, live_store.batch_after, [job.id], 0, 100),
        reads(database, live_store.has_lost, [job.id], 0),
    ]


async def works_room(database: Database) -> list[Probe]:
    house = system("works")
    project = await database.write(house, projects_service.ensure_first, OWNER, "ko")
    done, pending = uuid.uuid4(), uuid.uuid4()
    batch = works_service.NewBatch(
        job_id=uuid.uuid4(),
        batch_id=uuid.uuid4(),
        project_id=project["id"],
        owner_id=OWNER,
        category="eats",
        template_id="t",
        inputs_json="{}",
        text="a latte",
        works=[(done, "promotional_image", 1), (pending, "marketing_copy", 1)],
    )
    await database.write(house, works_service.create, batch)
    artifact = queue_pb2.Artifact(
        object_key=str(done), content_type="image/jpeg", size_bytes=1, sha256="0" * 64
    )
    finished = events_pb2.ItemFinished(
        work_id=str(done),
        outcome=events_pb2.ITEM_OUTCOME_SUCCEEDED,
        delivery=queue_pb2.Delivery(file=artifact),
    )
    await database.write(house, works_events.item_finished, finished)
    files = await files_room(database)
    anything = works_store.Filter()
    return [
        reads(database, works_service.get, OTHER, done),
        reads(database, works_service.get_completed, OTHER, done),
        reads(database, works_service.get_batch, OTHER, batch.batch_id),
        reads(database, works_store.page, OTHER, EVERYTHING, anything),
        reads(database, works_store.page, OTHER, EVERYTHING, works_store.Filter(project["id"])),
        writes(database, works_service.update, OTHER, done, "taken", ["taken"]),
        writes(database, works_store.set_public, OTHER, done, is_public=True),
        writes(database, works_service.publish, OTHER, done, is_public=True),
        writes(database, works_store.delete, OTHER, done),
        writes(database, works_service.delete, OTHER, done),
        reads(database, projects_service.get, OTHER, project["id"]),
        reads(database, projects_store.page, OTHER, EVERYTHING),
        writes(database, projects_service.create, OTHER, NewProject("mine", "", "", "ko")),
        *files,
    ]


async def files_room(database: Database) -> list[Probe]:
    """A ready file and a pending one, and all that an upload does to either."""
    house, owner = system("works"), Identity(Kind.MEMBER, user_id=OWNER)
    new = NewFile("uploads", "image/png", 333_333, "mine")
    ready, pending = [
        (await database.write(owner, files_service.create, OWNER, new, 1 << 30))["id"]
        for _ in range(2)
    ]
    attempt = files_store.Attempt(OWNER, ready, uuid.uuid4())
    made = files_service.Made("image/png", 444_444, "1" * 64, 8, 8, 0, has_thumbnail=True)
    await database.write(house, files_service.begin, attempt, 60.0)
    content = await database.write(house, files_service.settle, attempt, made, 1 << 30)
    assert content is not None
    await database.write(house, files_service.finish, attempt, content, made.sha256)
    again = files_store.Attempt(OTHER, pending, uuid.uuid4())
    begun = files_store.Attempt(OWNER, pending, uuid.uuid4())
    await database.write(house, files_service.begin, begun, 60.0)
    stolen = files_store.Attempt(OTHER, pending, begun.id)
    refused = FileRefused("FILE_DAMAGED", "taken")
    return [
        reads(database, files_service.get, OTHER, ready),
        reads(database, files_service.get_ready, OTHER, ready),
        reads(database, files_service.resolve, OTHER, [ready, pending]),
        reads(database, files_store.page, OTHER, EVERYTHING, files_store.Filter("", "", "")),
        reads(database, files_store.used, OTHER, uuid.uuid4()),
        writes(database, files_service.begin, again, 60.0),
        writes(database, files_store.begin, again, 60.0),
        writes(database, files_store.renew, stolen, 60.0),
        writes(database, files_store.give_up, stolen),
        writes(database, files_store.refuse, stolen, "file_damaged", "taken"),
        writes(database, files_store.ready, stolen, content.id),
        writes(database, files_service.refuse, stolen, refused),
        writes(database, files_store.same_bytes, OTHER, made.sha256),
        writes(database, files_store.use_again, OTHER, content.id),
        writes(database, files_store.stored, OTHER, content.id),
        writes(database, files_store.drop, OTHER, content.id),
        writes(database, files_service.delete, OTHER, ready),
    ]


async def accounts_room(database: Database) -> list[Probe]:
    house = system("accounts")
    job = uuid.uuid4()
    for owner in (OWNER, OTHER):
        await database.write(house, credits_service.open_wallet, owner)
    given = Grant(OWNER, 777_777, "purchased", None, "test", str(uuid.uuid4()))
    await database.write(house, credits_service.grant, given)
    line = Line(uuid.uuid4(), uuid.uuid4(), 333_333)
    await database.write(house, credits_service.hold, job, OWNER, [line])
    for user in (OWNER, OTHER):
        await database.write(house, insert_guest, user, "ko")
    owner = Identity(Kind.MEMBER, OWNER)
    made = await database.write(owner, keys_service.create, OWNER, "444444", ["me:read"], None)
    return [
        reads(database, keys_store.page, OTHER, EVERYTHING),
        writes(database, keys_service.revoke, OTHER, made.row["id"]),
        writes(database, keys_store.count_working, OTHER),
        reads(database, credits_store.balance, OTHER),
        reads(database, credits_store.entries, OTHER, EVERYTHING),
        reads(database, credits_service.receipt, OTHER, job),
        reads(database, credits_store.job_entries, OTHER, job),
    ]


ROOMS = {"jobs": jobs_room, "works": works_room, "accounts": accounts_room}


@pytest.fixture(scope="session")
async def templates(postgres_server: Installation) -> dict[str, Template]:
    return {name: await template(postgres_server.layout, name) for name in STORES}


@pytest.fixture(params=sorted(STORES))
async def room(
    request: pytest.FixtureRequest, templates: dict[str, Template]
) -> AsyncIterator[Room]:
    urls = await templates[request.param].fresh()
    async with Database(urls.serving, 4) as database:
        yield Room(database, urls, await ROOMS[request.param](database))


def filters(service: str) -> list[tuple[Any, str, str]]:
    """Returns each statement with one of its owner filters taken out: module, name, statement."""
    found = []
    for module in STORES[service]:
        for name, sql in vars(module).items():
            if isinstance(sql, str) and STATEMENT.match(sql):
                found += [
                    (module, name, sql[: hit.start()] + "true" + sql[hit.end() :])
                    for hit in FILTER.finditer(sql)
                ]
    return found


async def seen_by_the_other(room: Room) -> str:
    """Does everything that a user may do, and returns all that came back, as text."""
    seen = []
    for probe in room.probes:
        try:
            seen.append(repr(await probe()))
        except DomainError as refusal:
            seen.append(refusal.reason)
    return "\n".join(seen)


async def everything(urls: Urls, schema: str) -> list[Any]:
    """Reads all rows of the owner's, past every policy."""
    connection = await asyncpg.connect(urls.admin)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1", schema
        )
        rows = [await connection.fetch(f"TABLE {schema}.{row['tablename']}") for row in tables]
        return [row for table in rows for row in table if str(OWNER) in repr(row)]
    finally:
        await connection.close()


async def test_without_any_one_of_our_filters_a_foreign_row_stays_unseen_and_unchanged(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = room.database.role
    executed: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    before = await everything(room.urls, service)
    assert before
    event.listen(Engine, "before_cursor_execute", note)
    try:
        untouched = await seen_by_the_other(room)
        for module, name, opened in filters(service):
            with monkeypatch.context() as patched:
                patched.setattr(module, name, opened)
                executed.clear()
                seen = await seen_by_the_other(room)
            # Parameters are numbered when a statement is sent: compare what stands between them.
            shape = re.sub(r"CAST\(|::\w+|:\w+|\$\d+|\s+", "", opened)
            ran = any(
                shape == re.sub(r"CAST\(|::\w+|:\w+|\$\d+|\s+", "", each) for each in executed
            )
            assert ran or name in HOUSE_ONLY, f"nothing here runs {module.__name__}.{name}"
            assert str(OWNER) not in seen, name
            assert not re.search(r"\b(777777|333333|444444)\b", seen), name
            assert seen.count("NOT_FOUND") == untouched.count("NOT_FOUND"), name
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert await everything(room.urls, service) == before


async def test_every_table_with_an_owner_is_walled_and_the_serving_role_owns_none(
    room: Room,
) -> None:
    schema = room.database.role
    connection = await asyncpg.connect(room.urls.admin)
    try:
        tables = await connection.fetch(
            """
            SELECT class.relname AS name,
                   class.relrowsecurity AND class.relforcerowsecurity AS wall,
                   class.relowner::regrole::text AS owner,
                   EXISTS (SELECT FROM pg_policy WHERE polrelid = class.oid) AS policy,
                   EXISTS (SELECT FROM pg_attribute
                           WHERE attrelid = class.oid AND NOT attisdropped
                             AND attname IN ('owner_id', 'user_id', 'principal')) AS owned
            FROM pg_class AS class WHERE relnamespace = $1::regnamespace AND relkind = 'r'
            """,
            schema,
        )
        rights = await connection.fetchrow(
            "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = $1", schema
        )
    finally:
        await connection.close()
    assert tables
    assert {row["owner"] for row in tables} == {f"{schema}_owner"}
    assert [
        row["name"] for row in tables if row["owned"] and not (row["wall"] and row["policy"])
    ] == []
    assert not rights["rolsuper"]
    assert not rights["rolbypassrls"]


async def test_a_connection_that_served_one_user_shows_nothing_to_nobody(room: Room) -> None:
    owner = Identity(Kind.MEMBER, user_id=OWNER)
    table = {"jobs": "job", "works": "work", "accounts": "lot"}[room.database.role]

    async def count(session: Any) -> int:
        return int(await session.scalar(f"SELECT count(*) FROM {table}"))

    for _ in range(8):
        assert await room.database.read(owner, count) > 0
        assert await room.database.read(Identity(Kind.NOBODY), count) == 0
