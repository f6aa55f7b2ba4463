"""The whole truth about an installation, read from its databases and its storage.

``quiet`` waits until nothing is under way any more; ``violations`` says what should not be: money
that does not add up, work that was accepted and is lost, work that was paid and not delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from minio.error import MinioException

from deploy.local import postgres, stack
from deploy.local.layout import Layout
from kit.blobs import Blobs
from kit.config import BlobSettings
from tests.machines import invariants

QUIET_SECONDS = 300.0
LOOK_SECONDS = 0.2
SHOWN_MAX = 8

_FINAL = "('succeeded', 'failed', 'canceled', 'expired')"
# Who has to have received which events.
_READERS = {
    ("jobs", "accounts"): "evt.jobs.item.finished.v1",
    ("jobs", "works"): "evt.jobs.item.%",
    ("accounts", "works"): "evt.accounts.member.created.v1",
    ("accounts", "jobs"): "evt.accounts.hold.overdue.v1",
    ("templates", "jobs"): "evt.templates.category.changed.v1",
}
_UNDER_WAY = {
    "job not final": f"SELECT id::text || ' ' || state FROM jobs.job WHERE state NOT IN {_FINAL}",
    "hold not settled": "SELECT item_id::text FROM accounts.hold WHERE outcome IS NULL",
    "work not final": """
        SELECT work.id::text || ' ' || state FROM works.work
        WHERE state IN ('pending', 'processing')""",
    **{
        f"event of {owner} not sent": f"SELECT id::text FROM {owner}.outbox WHERE sent_at IS NULL"
        for owner in ("accounts", "works", "templates", "jobs")
    },
    **{
        f"event of {owner} not received by {reader}": f"""
            SELECT id::text || ' ' || subject FROM {owner}.outbox
            WHERE subject LIKE '{subject}' AND id NOT IN (SELECT event_id FROM {reader}.inbox)"""
        for (owner, reader), subject in _READERS.items()
    },
}
# Beside the invariants of every schema.
_VIOLATIONS = {
    "an item past its queue without a work": """
        SELECT item.id::text FROM jobs.item LEFT JOIN works.work ON work.id = item.work_id
        WHERE item.state NOT IN ('created', 'failed', 'canceled') AND work.id IS NULL""",
    "two jobs of one key": """
        SELECT user_id::text || ' ' || idempotency_key FROM jobs.job
        GROUP BY user_id, idempotency_key HAVING count(*) > 1""",
    **{
        f"a dead event of {service}": f"SELECT subject || ' ' || error FROM {service}.dead_event"
        for service in ("accounts", "works", "templates", "jobs")
    },
}
_FILES = """
    SELECT object_key, size_bytes FROM works.work
    JOIN works.file ON file.id IN (work.file_id, work.thumbnail_id)
    WHERE file.deleted_at IS NULL AND NOT object_key = ANY($1::text[])
"""
_STATES = "SELECT id::text, state FROM jobs.job WHERE id = ANY($1::uuid[])"


@dataclass
class Truth:
    """Reads everything, under a role that sees every row."""

    layout: Layout
    _seen_files: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(postgres.admin_url(self.layout, "atelier"), timeout=60)
        try:
            yield connection
        finally:
            await connection.close()

    async def quiet(self, seconds: float = QUIET_SECONDS) -> None:
        """Waits until every job is final, every hold settled and every event received.

        Raises:
            AssertionError: Something is still under way; the message says what.
        """
        left = ["the database does not answer"]
        try:
            async with asyncio.timeout(seconds):
                while left:
                    try:
                        async with self._connected() as connection:
                            left = await _found(connection, _UNDER_WAY)
                    except (OSError, asyncpg.PostgresError) as error:
                        left = [f"the database does not answer: {error!r}"]
                    if left:
                        await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(_told(f"after {seconds:.0f} s still under way", left)) from None

    async def violations(self) -> list[str]:
        """Returns what should not be, in words."""
        async with self._connected() as connection:
            found = await invariants.violations(connection, settled=True)
            found += await _found(connection, _VIOLATIONS)
            rows = await connection.fetch(_FILES, sorted(self._seen_files))
        return found + await self._missing_files(rows)

    async def check(self, accepted: Sequence[str] = (), seconds: float = QUIET_SECONDS) -> None:
        """Waits for quiet and holds everything to the rules.

        Args:
            accepted: Ids of jobs that clients were told of: each must exist and be final.
            seconds: How long quiet may take.

        Raises:
            AssertionError: A rule is broken, or something is still under way.
        """
        await self.quiet(seconds)
        found = await self.violations()
        async with self._connected() as connection:
            rows = await connection.fetch(_STATES, list(accepted))
        lost = set(accepted) - {row["id"] for row in rows}
        found += [f"an accepted job is lost: {job_id}" for job_id in sorted(lost)]
        assert not found, _told("violated", found)

    async def _missing_files(self, rows: Sequence[asyncpg.Record]) -> list[str]:
        bucket = _bucket(self.layout)
        missing = []
        for row in rows:
            try:
                size = len(await bucket.get(row["object_key"]))
            except MinioException:
                size = -1
            if size != row["size_bytes"]:
                missing.append(f"a file that is not what was delivered: {row['object_key']}")
            self._seen_files.add(row["object_key"])
        return missing


def _bucket(layout: Layout) -> Blobs:
    given = stack.service_environment(layout, "works")
    fields = ("s3_endpoint", "s3_access_key", "s3_secret_key")
    values = {name: given["ATELIER_" + name.upper()] for name in fields}
    return Blobs(BlobSettings(keys_dir=layout.keys, **values))


async def _found(connection: asyncpg.Connection, rules: dict[str, str]) -> list[str]:
    found = []
    for rule, sql in rules.items():
        rows = await connection.fetch(f"{sql} LIMIT {SHOWN_MAX}")
        found += [f"{rule}: {row[0]}" for row in rows]
    return found


def _told(what: str, lines: Sequence[str]) -> str:
    return "\n  ".join([f"{what}:", *lines])
