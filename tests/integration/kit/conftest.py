"""A fresh copy of a migrated database for every test, and a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import services.works
from deploy.local import layout, postgres, stores
from deploy.local.supervisor import Supervisor
from kit.bus import Bus
from kit.database import Database
from kit.database.migrations import migrate
from kit.testing.databases import copy
from tests.conftest import Installation

TEMPLATE, NAME = "floor_template", "floor"


@dataclass(frozen=True)
class Urls:
    """Addresses of the test's database."""

    serving: str
    owner: str


@pytest.fixture(scope="session")
async def floor_template(postgres_server: Installation) -> Installation:
    """A database with the floor and the schema of works."""
    places = postgres_server.layout
    await postgres.bootstrap(places, TEMPLATE)
    owner = places.database_url("works_owner").replace("/atelier?", f"/{TEMPLATE}?")
    await migrate(owner, "works", Path(services.works.__file__).parent / "migrations")
    return postgres_server


@pytest.fixture
async def urls(floor_template: Installation) -> Urls:
    places = floor_template.layout
    await copy(postgres.admin_url(places, "postgres"), TEMPLATE, NAME)

    def url(role: str) -> str:
        return places.database_url(role).replace("/atelier?", f"/{NAME}?")

    return Urls(url("works"), url("works_owner"))


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    async with Database(urls.serving, 8) as opened:
        yield opened


@pytest.fixture(scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A NATS of these tests' own: they take its store away, and consume under a service's name."""
    places = layout.prepare(tmp_path_factory.mktemp("broker"))
    async with Supervisor(places.logs) as supervisor:
        await supervisor.start([stores.nats(places)])
        yield f"nats://{places.address('nats')}"


@pytest.fixture
async def bus(broker: str) -> AsyncIterator[Bus]:
    async with Bus(broker, "test") as connected:
        yield connected
