"""A database of the queue's own, empty for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.database import Database
from tests.conftest import Installation
from tests.databases import Template, Urls, template


@pytest.fixture(scope="session")
async def jobs_template(postgres_server: Installation) -> Template:
    return await template(postgres_server.layout, "jobs")


@pytest.fixture
async def urls(jobs_template: Template) -> Urls:
    return await jobs_template.fresh()


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    async with Database(urls.serving, 16) as opened:
        yield opened
