"""A page of a list of jobs costs what it shows, however long that is and to whatever narrowed."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import asyncpg
import pytest

from kit.database import Database
from kit.identity import Identity, Kind
from kit.paging import PageRequest
from services.jobs.submission import store
from tests.databases import Urls
from tests.plans import rows_looked_at

JOBS = 5_000
# A page of 24 reads one more; an index may name a row before it is read.
LOOKED_AT_MAX = 2 * 25
ME, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
OTHERS = 1_000
# The others' jobs are like none of mine, and most of the house's are theirs: what most jobs
# are like says nothing about mine.
MINE, THEIRS = "mine", "theirs"
SHARES = {ME: (MINE, JOBS, 1), OTHER: (THEIRS, 3 * JOBS, OTHERS)}
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
# One every minute until NOW, by ids that grow with the time, as those of the house do.
_JOBS = """
    INSERT INTO jobs.job (id, user_id, payer_id, project_id, batch_id, state, template_id,
                          template_version, category, inputs, graph, seed, idempotency_key,
                          driven_until, created_at, finished_at)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
            || substr(md5(n::text || $2), 1, 19))::uuid,
           CASE WHEN $7 = 1 THEN $1::uuid ELSE md5((n % $7)::text)::uuid END, $1, $3,
           gen_random_uuid(), $4, $2, 1, $2, '{}', '{}', 1, n::text, at, at,
           CASE WHEN $4 = 'failed' THEN at END
    FROM generate_series(1, $5::int) AS n,
         LATERAL (SELECT $6::timestamptz - n * interval '1 minute' AS at)
"""


@pytest.fixture
async def jobs_of_two(urls: Urls) -> None:
    admin = await asyncpg.connect(urls.admin)
    try:
        for owner, (word, count, owners) in SHARES.items():
            state = "queued" if word == MINE else "failed"
            await admin.execute(_JOBS, owner, word, project_of(word), state, count, NOW, owners)
        await admin.execute("ANALYZE jobs.job")
    finally:
        await admin.close()


def project_of(word: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, word)


NEVER: list[dict[str, Any]] = [
    {"template_id": THEIRS},
    {"template_id": "unknown"},
    {"category": THEIRS},
    {"project_id": project_of(THEIRS)},
    {"state": "failed"},
    {"batch_id": uuid.uuid4()},
    {"template_id": THEIRS, "state": "queued"},
    {"created_to": NOW - 365 * DAY},
    {"created_from": NOW + 365 * DAY},
    {"template_id": MINE, "created_to": NOW - 365 * DAY},
]
OFTEN: list[dict[str, Any]] = [
    {},
    {"template_id": MINE},
    {"category": MINE},
    {"project_id": project_of(MINE)},
    {"state": "queued"},
    {"category": MINE, "state": "queued", "created_from": NOW - 365 * DAY},
    {"template_id": MINE, "category": MINE, "project_id": project_of(MINE), "state": "queued"},
]


@pytest.mark.usefixtures("jobs_of_two")
async def test_a_page_looks_at_no_more_jobs_than_it_shows(database: Database) -> None:
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
