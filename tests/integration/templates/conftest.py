"""Fixtures: PostgreSQL, NATS, the templates process, and a spare database for tests that write."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from atelier.templates.v1 import templates_pb2_grpc

from deploy.local import postgres, stack, stores
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.database import Database
from kit.database.migrations import migrate
from kit.identity import Signer
from kit.rpc.client import ServiceChannel, open_channel
from tests.grounds import ground, postgres_part

ROOT = Path(__file__).parents[3]
SPARE = "templates_spare"


@dataclass(frozen=True)
class Desk:
    """The templates process, called in the name of the jobs service."""

    layout: Layout
    stub: templates_pb2_grpc.TemplatesServiceAsyncStub
    service: ServiceChannel


@pytest.fixture(scope="session")
async def stores_only() -> AsyncIterator[tuple[Supervisor, Layout]]:
    async with ground("templates") as (places, supervisor):
        await supervisor.start([postgres_part(places), stores.nats(places)])
        await postgres.bootstrap(places)
        yield supervisor, places


@pytest.fixture(scope="session")
async def desk(stores_only: tuple[Supervisor, Layout]) -> AsyncIterator[Desk]:
    supervisor, places = stores_only
    await supervisor.start([stack.service_part(places, "templates", {})])
    async with open_channel(places.socket("templates")) as channel:
        signer = Signer("jobs", places.keys)
        stub = templates_pb2_grpc.TemplatesServiceStub(channel)
        yield Desk(places, stub, ServiceChannel(channel, "templates", signer))


@pytest.fixture(scope="session")
async def spare(stores_only: tuple[Supervisor, Layout]) -> str:
    """A migrated database beside the one that is served."""
    _, places = stores_only
    await postgres.bootstrap(places, SPARE)
    migrations = ROOT / "services/templates/migrations"
    await migrate(_spare_url(places, "templates_owner"), "templates", migrations)
    return _spare_url(places, "templates")


@pytest.fixture
async def database(stores_only: tuple[Supervisor, Layout], spare: str) -> AsyncIterator[Database]:
    """The spare database, emptied; one for each test would cost PostgreSQL seconds to stop."""
    connection = await asyncpg.connect(postgres.admin_url(stores_only[1], SPARE))
    await connection.execute(
        "TRUNCATE templates.category, templates.template, templates.template_version, "
        "templates.outbox CASCADE"
    )
    await connection.close()
    async with Database(spare, 4) as opened:
        yield opened


def _spare_url(places: Layout, role: str) -> str:
    return places.database_url(role).replace("@/atelier?", f"@/{SPARE}?")


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], Path]:
    """Makes copies of the shipped data files, to change."""

    def copied() -> Path:
        target = tmp_path / uuid.uuid4().hex
        return Path(shutil.copytree(ROOT / "services/templates/data", target))

    return copied
