"""A page of a history of 1,000,000 works beside one of 10,000: the first one and one in the middle.

Both are read by the use case of ``GET /v1/works``, in turns, from databases of one server.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import asyncpg

from deploy.local import layout, postgres
from deploy.local.layout import ROOT, Layout
from deploy.local.supervisor import Supervisor
from kit.database import Database
from kit.database.migrations import migrate
from kit.identity import Identity, Kind
from kit.paging import NEWEST, PageRequest
from services.works.works import store
from tests.bench.record import Record

SIZES = {"10,000 works": 10_000, "1,000,000 works": 1_000_000}
SMALL, LARGE = SIZES
PAGE = 24
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "400"))
OWNER = uuid.UUID(int=1)
ME = Identity(Kind.MEMBER, user_id=OWNER)
ANY = store.Filter(None, None, "", "", "", "")
# Ids that grow with the number, as those of the house do.
_PROJECT = "INSERT INTO works.project (id, owner_id, name, language) VALUES ($1, $1, 'bench', 'ko')"
_WORKS = """
    INSERT INTO works.work (id, owner_id, project_id, batch_id, job_id, type, state, title, tags,
                            template_id, category, variation, inputs)
    SELECT (lpad(to_hex(n), 12, '0') || '7' || substr(md5(n::text), 1, 19))::uuid, $1, $1,
           gen_random_uuid(), gen_random_uuid(), 'promotional_image', 'pending', 'title ' || n,
           ARRAY['latte', 'tag' || n % 1000], 'general-picture', 'general', 1,
           '{"text": "a strawberry latte on a table"}'
    FROM generate_series(1, $2::int) AS n
"""


async def bench() -> list[Record]:
    data = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    try:
        async with AsyncExitStack() as opened, Supervisor(places.logs) as supervisor:
            await supervisor.start([postgres.part(places, postgres.install(places))])
            databases = {}
            for number, (name, works) in enumerate(SIZES.items()):
                url = await _furnished(places, f"history_{number}", works)
                databases[name] = await opened.enter_async_context(Database(url, 1))
            return await _compared(databases)
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


async def _furnished(places: Layout, name: str, works: int) -> str:
    await postgres.bootstrap(places, name)

    def url(role: str) -> str:
        return places.database_url(role).replace("/atelier?", f"/{name}?")

    await migrate(url("works_owner"), "works", ROOT / "services" / "works" / "migrations")
    admin = await asyncpg.connect(postgres.admin_url(places, name))
    try:
        await admin.execute(_PROJECT, OWNER)
        await admin.execute(_WORKS, OWNER, works, timeout=600)
        await admin.execute("VACUUM ANALYZE works.work", timeout=600)
    finally:
        await admin.close()
    return url("works")


async def _compared(databases: Mapping[str, Database]) -> list[Record]:
    spent = defaultdict(list)
    for number in range(-20, ROUNDS):
        for name, database in databases.items():
            for place, before in (("first", NEWEST), ("middle", _id(SIZES[name] // 2))):
                seconds = await _read(database, before)
                if number >= 0:  # those before warm up
                    spent[place, name].append(seconds * 1e6)
    records = []
    for place in ("first", "middle"):
        small, large = median(spent[place, SMALL]), median(spent[place, LARGE])
        called = f"history, {place} page of {PAGE}"
        records += [
            Record(f"{called}, {LARGE}", large, "us", SMALL, large / small),
            Record(f"{called}, {SMALL}", small, "us"),
        ]
    return records


async def _read(database: Database, before: uuid.UUID) -> float:
    began = time.perf_counter()
    page = await database.read(ME, store.page, OWNER, PageRequest(PAGE, before), ANY)
    spent = time.perf_counter() - began
    if len(page.rows) != PAGE:
        raise RuntimeError(f"a page of {len(page.rows)} rows")
    return spent


def _id(number: int) -> uuid.UUID:
    return uuid.UUID(f"{number:012x}7{'0' * 19}")
