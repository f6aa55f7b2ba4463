"""A database of the queue's own, empty for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import services.jobs
from deploy.local import postgres
from kit.database import Database
from kit.database.migrations import migrate
from kit.testing.databases import copy
from tests.conftest import Installation

TEMPLATE, NAME = "queue_template", "queue"


@pytest.fixture(scope="session")
async def queue_template(postgres_server: Installation) -> Installation:
    places = postgres_server.layout
    await postgres.bootstrap(places, TEMPLATE)
    owner = places.database_url("jobs_owner").replace("/atelier?", f"/{TEMPLATE}?")
    await migrate(owner, "jobs", Path(services.jobs.__file__).parent / "migrations")
    return postgres_server


@pytest.fixture
async def database(queue_template: Installation) -> AsyncIterator[Database]:
    places = queue_template.layout
    await copy(postgres.admin_url(places, "postgres"), TEMPLATE, NAME)
    url = places.database_url("jobs").replace("/atelier?", f"/{NAME}?")
    async with Database(url, 16) as opened:
        yield opened
