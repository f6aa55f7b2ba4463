"""Fixtures: one installation of everything for the session, real parts, in a folder of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deploy.local import layout, stack
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from tests.studio import Member, Studio


@dataclass(frozen=True)
class Installation:
    """A running installation."""

    layout: Layout
    supervisor: Supervisor


@pytest.fixture(scope="session")
async def installation() -> AsyncIterator[Installation]:
    # Not below pytest's own folder: the database's user could not reach it there.
    data = Path(tempfile.mkdtemp(prefix="atelier-test-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    try:
        async with Supervisor(places.logs) as supervisor:
            await stack.start_stores(supervisor, places)
            await stack.start_services(supervisor, places, TEST_SETTINGS)
            yield Installation(places, supervisor)
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


# Tests look at what happens after a lease or a pause has ended: all are made short.
TEST_SETTINGS = {
    "ATELIER_GRACE_SECONDS": "5",
}


@pytest.fixture
async def studio(installation: Installation) -> AsyncIterator[Studio]:
    url = installation.layout.gateway_url
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        yield Studio(http)


@pytest.fixture
async def member(studio: Studio) -> Member:
    return await studio.sign_up()
