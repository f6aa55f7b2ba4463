"""Fixtures of the fault tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.conftest import Installation
from tests.faults.episodes import Runner
from tests.faults.injection import Ground
from tests.faults.load import clients
from tests.faults.seeds import seed
from tests.faults.truth import Truth
from tests.studio import Studio


@pytest.fixture(scope="session")
def arena(installation: Installation) -> Ground:
    """Where faults are made."""
    return Ground(installation.layout, installation.supervisor)


@pytest.fixture(scope="session")
def truth(installation: Installation) -> Truth:
    """The installation's databases and storage."""
    return Truth(installation.layout)


@pytest.fixture
async def runner(arena: Ground, truth: Truth) -> AsyncIterator[Runner]:
    """Ten clients on the installation, and what makes episodes of faults for them."""
    limits = httpx.Limits(max_connections=100)
    url = arena.layout.gateway_url
    async with (
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits) as http,
        clients(Studio(http), seed()) as load,
    ):
        yield Runner(arena, load, truth)
