"""A fresh copy of a migrated database for every test, and a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.local import stores
from kit.bus import Bus
from kit.database import Database
from tests.conftest import Installation
from tests.databases import Template, Urls, template
from tests.grounds import ground


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
async def broker() -> AsyncIterator[str]:
    """A NATS of these tests' own: they take its store away, and consume under a service's name."""
    async with ground("broker") as (places, supervisor):
        await supervisor.start([stores.nats(places)])
        yield f"nats://{places.address('nats')}"


@pytest.fixture
async def bus(broker: str) -> AsyncIterator[Bus]:
    async with Bus(broker, "test") as connected:
        yield connected
