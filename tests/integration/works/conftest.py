"""A database of works' own and a bucket, both empty for every test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.blobs import Blobs
from kit.config import BlobSettings
from kit.database import Database
from tests.conftest import Installation
from tests.databases import Template, Urls, template
from tests.integration.works.shelf import Shelf, shelf


@pytest.fixture(scope="session")
async def works_template(postgres_server: Installation) -> Template:
    return await template(postgres_server.layout, "works")


@pytest.fixture
async def urls(works_template: Template) -> Urls:
    return await works_template.fresh()


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    async with Database(urls.serving, 8) as opened:
        yield opened


@pytest.fixture
async def files(database: Database, data_stores: Installation) -> Shelf:
    """Uploads. Their bucket is one for all tests: storage makes volumes for every new one."""
    opened = shelf(database, await open_bucket(data_stores, "files"))
    for key in await opened.objects():
        await opened.blobs.delete(key)
    return opened


@pytest.fixture
async def blobs(data_stores: Installation) -> Blobs:
    return await open_bucket(data_stores, f"works-{uuid.uuid4()}")


async def open_bucket(data_stores: Installation, name: str) -> Blobs:
    places = data_stores.layout
    settings = BlobSettings(
        keys_dir=Path(),
        s3_endpoint=f"http://{places.address('s3')}",
        s3_access_key=places.secrets["s3:access"],
        s3_secret_key=places.secrets["s3:secret"],
        s3_bucket=name,
    )
    opened = Blobs(settings)
    await opened.ensure_bucket()
    return opened
