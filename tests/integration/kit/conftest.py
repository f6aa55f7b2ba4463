"""A fresh copy of a migrated database for every test, and a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import services.works
from deploy.local import postgres
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
async def floor_template(data_stores: Installation) -> Installation:
    """A database with the floor and the schema of works."""
    places = data_stores.layout
    await postgres.bootstrap(places, TEMPLATE)
    owner = places.database_url("works_owner").replace("/atelier?", f"/{TEMPLATE}?")
    await migrate(owner, "works", Path(services.works.__file__).parent / "migrations")
    return data_stores


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


@pytest.fixture
async def bus(floor_template: Installation) -> AsyncIterator[Bus]:
    async with Bus(f"nats://{floor_template.layout.address('nats')}", "test") as connected:
        yield connected
