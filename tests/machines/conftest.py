"""The machines' database."""

from __future__ import annotations

import pytest

from tests.conftest import Installation
from tests.machines.ground import Ground, prepare


@pytest.fixture(scope="session")
async def machines(postgres_server: Installation) -> Ground:
    return await prepare(postgres_server.layout)
