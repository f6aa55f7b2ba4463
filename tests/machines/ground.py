"""The database that machines play on: both schemas, a clock that only they move, and a witness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import uvloop

from deploy.local import postgres
from deploy.local.layout import ROOT, Layout
from kit.database.migrations import migrate
from services.jobs.domain import ITEM_TRANSITIONS, JOB_TRANSITIONS

NAME = "machines"
T = TypeVar("T")

# Time stands still between two moves, so that a model can say exactly what has lapsed.
_FREEZE = """
    CREATE OR REPLACE FUNCTION {service}.app_now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT timestamptz '2026-01-01 00:00Z' + (SELECT shift FROM {service}.clock) $$
"""
# Sees every transition, also those that a step both makes and leaves.
_WITNESS = """
    CREATE SCHEMA witness;
    CREATE TABLE witness.legal (kind text, before text, after text);
    CREATE TABLE witness.seen (kind text, id uuid, before text, after text);
    CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO witness.seen
        VALUES (TG_TABLE_NAME, NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness_new AFTER INSERT ON jobs.job
        FOR EACH ROW EXECUTE FUNCTION witness.note();
    CREATE TRIGGER witness_changed AFTER UPDATE OF state ON jobs.job
        FOR EACH ROW EXECUTE FUNCTION witness.note();
    CREATE TRIGGER witness_new AFTER INSERT ON jobs.item
        FOR EACH ROW EXECUTE FUNCTION witness.note();
    CREATE TRIGGER witness_changed AFTER UPDATE OF state ON jobs.item
        FOR EACH ROW EXECUTE FUNCTION witness.note();
"""
WITNESSED = """
    SELECT 'only drawn transitions' AS name, format('%s %s %s -> %s', kind, id, before, after) AS id
    FROM witness.seen WHERE NOT EXISTS (
        SELECT FROM witness.legal WHERE legal.kind = seen.kind
          AND legal.before IS NOT DISTINCT FROM seen.before AND legal.after = seen.after)
"""


@dataclass(frozen=True)
class Ground:
    """Addresses of the database."""

    accounts: str
    jobs: str
    accounts_owner: str
    admin: str


async def prepare(places: Layout) -> Ground:
    """Makes the database anew on a running server."""
    server = await asyncpg.connect(postgres.admin_url(places, "postgres"))
    try:
        await server.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    finally:
        await server.close()
    await postgres.bootstrap(places, NAME)

    def url(role: str) -> str:
        return places.database_url(role).replace("/atelier?", f"/{NAME}?")

    for service in ("accounts", "jobs"):
        await migrate(url(f"{service}_owner"), service, ROOT / "services" / service / "migrations")
    ground = Ground(
        url("accounts"), url("jobs"), url("accounts_owner"), postgres.admin_url(places, NAME)
    )
    await _furnish(ground)
    return ground


async def _furnish(ground: Ground) -> None:
    connection = await asyncpg.connect(ground.admin)
    try:
        # What is tested here is logic; that commits survive a crash is tested by killing.
        await connection.execute(f"ALTER DATABASE {NAME} SET synchronous_commit = off")
        for service in ("accounts", "jobs"):
            await connection.execute(_FREEZE.format(service=service))
        await connection.execute(_WITNESS)
        await connection.executemany(
            "INSERT INTO witness.legal VALUES ($1, $2, $3)",
            [
                (kind, before, after)
                for kind, table in (("job", JOB_TRANSITIONS), ("item", ITEM_TRANSITIONS))
                for before, following in table.items()
                for after in following
            ]
            + [("job", None, "created"), ("item", None, "created")],
        )
    finally:
        await connection.close()


def in_own_loop(run: Callable[[asyncio.Runner], T]) -> T:
    """Runs a synchronous player with an event loop in a thread of its own."""

    def player() -> T:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return run(runner)

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(player).result()
