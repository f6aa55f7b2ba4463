"""A fresh copy of a migrated database for every test, and a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.local import layout, stores
from deploy.local.supervisor import Supervisor
from kit.bus import Bus
from kit.database import Database
from tests.conftest import Installation
from tests.databases import Template, Urls, template


@pytest.fixture(scope="session")
async def floor(postgres_server: Installation) -> Template:
    """The floor, below the schema of works."""
    return await template(postgres_server.layout, "works")


@pytest.fixture
async def urls(floor: Template) -> Urls:
    return await floor.fresh()


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
