"""A page of a history costs what it shows, however long that is and to whatever it is narrowed."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import asyncpg
import pytest

from kit.database import Database
from kit.identity import Identity, Kind
from kit.paging import PageRequest
from services.works.works import store
from tests.databases import Urls
from tests.plans import rows_looked_at

WORKS = 5_000
# A page of 24 reads one more, and of each work up to two files.
LOOKED_AT_MAX = 3 * 25
ME, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
OTHERS = 1_000
# The others' works are like none of mine, and most of the house's are theirs: what most works
# are like says nothing about mine.
MINE, THEIRS = "mine", "theirs"
SHARES = {ME: (MINE, WORKS, 1), OTHER: (THEIRS, 3 * WORKS, OTHERS)}
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
_PROJECT = "INSERT INTO works.project (id, owner_id, name, language) VALUES ($1, $2, 'p', 'ko')"
# One every minute until NOW, by ids that grow with the time, as those of the house do.
_WORKS = """
    INSERT INTO works.work (id, owner_id, project_id, batch_id, job_id, type, state, title, tags,
                            template_id, category, variation, inputs, created_at, finished_at)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
            || substr(md5(n::text || $2), 1, 19))::uuid,
           CASE WHEN $8 = 1 THEN $1::uuid ELSE md5((n % $8)::text)::uuid END, $3,
           gen_random_uuid(), gen_random_uuid(), $4, $5, 't', '{}', $2, $2, 1, '{}', at,
           CASE WHEN $5 = 'failed' THEN at END
    FROM generate_series(1, $6::int) AS n,
         LATERAL (SELECT $7::timestamptz - n * interval '1 minute' AS at)
"""


@pytest.fixture
async def history(urls: Urls) -> None:
    admin = await asyncpg.connect(urls.admin)
    try:
        for owner, (word, count, owners) in SHARES.items():
            await admin.execute(_PROJECT, project_of(word), owner)
            kind = ("promotional_image", "pending") if word == MINE else ("short_video", "failed")
            await admin.execute(_WORKS, owner, word, project_of(word), *kind, count, NOW, owners)
        await admin.execute("ANALYZE works.work")
    finally:
        await admin.close()


def project_of(word: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, word)


NEVER: list[dict[str, Any]] = [
    {"template_id": THEIRS},
    {"template_id": "unknown"},
    {"category": THEIRS},
    {"project_id": project_of(THEIRS)},
    {"type": "short_video"},
    {"state": "failed"},
    {"batch_id": uuid.uuid4()},
    {"template_id": THEIRS, "state": "pending"},
    {"created_to": NOW - 365 * DAY},
    {"created_from": NOW + 365 * DAY},
    {"template_id": MINE, "created_to": NOW - 365 * DAY},
]
OFTEN: list[dict[str, Any]] = [
    {},
    {"template_id": MINE},
    {"category": MINE},
    {"project_id": project_of(MINE)},
    {"type": "promotional_image"},
    {"state": "pending"},
    {"category": MINE, "state": "pending", "created_from": NOW - 365 * DAY},
    {"template_id": MINE, "category": MINE, "project_id": project_of(MINE), "state": "pending"},
]


@pytest.mark.usefixtures("history")
async def test_a_page_looks_at_no_more_works_than_it_shows(database: Database) -> None:
    me = Identity(Kind.MEMBER, ME)
    newest = PageRequest.of(24, "")
    deep = PageRequest(24, uuid.UUID(int=int((NOW - 2 * DAY).timestamp() * 1_000) << 80))
    for given in (*NEVER, *OFTEN):
        wanted = store.Filter(**given)
        for request in (newest, deep):
            looked_at = await rows_looked_at(database, me, store.page, ME, request, wanted)
            assert looked_at <= LOOKED_AT_MAX, given
            page = await database.read(me, store.page, ME, request, wanted)
            assert len(page.rows) == (24 if given in OFTEN else 0), given
