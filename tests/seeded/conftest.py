"""The machines' database, and a stage on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Installation
from tests.machines.ground import Ground, prepare
from tests.machines.stage import Stage


@pytest.fixture(scope="session")
async def machines(postgres_server: Installation) -> Ground:
    return await prepare(postgres_server.layout)


@pytest.fixture(scope="session")
async def stage(machines: Ground) -> AsyncIterator[Stage]:
    async with Stage(machines) as opened:
        yield opened
