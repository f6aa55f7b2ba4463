"""The invariants can be asked of a whole installation, where every schema lies in one database."""

from __future__ import annotations

import asyncpg

from deploy.local import postgres
from deploy.local.layout import ROOT, SERVICES
from kit.database.migrations import migrate
from tests.conftest import Installation
from tests.machines.invariants import violations

NAME = "whole"
_LOT_WITHOUT_ENTRIES = """
    INSERT INTO accounts.wallet (owner_id) VALUES (gen_random_uuid());
    INSERT INTO accounts.lot (id, owner_id, pool, remaining, source, idem_key)
    SELECT gen_random_uuid(), owner_id, 'purchased', 5, 'test', 'test' FROM accounts.wallet
"""


async def test_an_installation_is_asked_for_every_invariant(postgres_server: Installation) -> None:
    places = postgres_server.layout
    await postgres.bootstrap(places, NAME)
    for service in SERVICES:
        owner = places.database_url(f"{service}_owner").replace("/atelier?", f"/{NAME}?")
        await migrate(owner, service, ROOT / "services" / service / "migrations")
    connection = await asyncpg.connect(postgres.admin_url(places, NAME))
    try:
        assert await violations(connection, settled=True) == []
        await connection.execute(_LOT_WITHOUT_ENTRIES)
        [found] = await violations(connection)
        assert found.startswith("I1 ")
    finally:
        await connection.close()
