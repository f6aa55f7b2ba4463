"""Fixtures: real parts for the session, in a folder of its own; each is started when first used."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from deploy.local import postgres, stack, stores
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.testing.collector import Collector
from tests import grounds
from tests.faults.injection import orders
from tests.lanes import Lanes
from tests.studio import Member, Studio

# Another model's folder may be tested than the bundled one.
MODELS = stack.Models(
    Path(os.environ.get("ATELIER_MODELS_DIR", stack.BUNDLED.folder)), stack.BUNDLED.default
)

# Lanes that run beside each other take their ports from ranges of their own.
LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ["ATELIER_PORT_RANGE"] = f"{20_000 + 3_000 * LANE}-{22_999 + 3_000 * LANE}"
os.environ["ATELIER_HTTP_PORT"] = "0"
# Tests look at what happens after a lease or a pause has ended: all are made short.
TEST_SETTINGS = {
    "ATELIER_GRACE_SECONDS": "5",
    "ATELIER_LEASE_SECONDS": "4",
    "ATELIER_HEARTBEAT_SECONDS": "0.5",
    "ATELIER_SWEEP_EVERY_SECONDS": "0.5",
    "ATELIER_DRIVE_SECONDS": "2",
    "ATELIER_ADMINISTRATORS": "the-administrator,the-treasurer",
}
# The same examples every time, on however slow a machine; `make deep` has others.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")
# A part that is killed again and again is started again at once: tests do that to it.
HEALTHY_AFTER_SECONDS = 0.5


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    return Lanes(config, log)


@dataclass(frozen=True)
class Installation:
    """A folder with parts running in it, and the settings that all of ours were given."""

    layout: Layout
    supervisor: Supervisor
    settings: Mapping[str, str] = field(default_factory=dict)


@pytest.fixture(scope="session")
async def ground() -> AsyncIterator[Installation]:
    """A data folder and a supervisor, with nothing running."""
    async with grounds.ground("test", HEALTHY_AFTER_SECONDS) as (places, supervisor):
        yield Installation(places, supervisor)


@pytest.fixture(scope="session")
async def postgres_server(ground: Installation) -> Installation:
    """PostgreSQL with the roles and empty schemas of every service."""
    await ground.supervisor.start([grounds.postgres_part(ground.layout)])
    await postgres.bootstrap(ground.layout)
    return ground


@pytest.fixture(scope="session")
async def data_stores(postgres_server: Installation) -> Installation:
    """PostgreSQL, NATS and S3."""
    places = postgres_server.layout
    await postgres_server.supervisor.start([stores.nats(places), stores.s3(places)])
    return postgres_server


@pytest.fixture(scope="session")
async def collector() -> AsyncIterator[Collector]:
    """Receives the spans of every process."""
    async with Collector() as receiving:
        yield receiving


@pytest.fixture(scope="session")
async def installation(data_stores: Installation, collector: Collector) -> Installation:
    """Everything."""
    supervisor, places = data_stores.supervisor, data_stores.layout
    settings = TEST_SETTINGS | {
        "ATELIER_OTLP_ENDPOINT": collector.endpoint,
        "ATELIER_CRASH_ORDERS": str(orders(places)),
    }
    async with asyncio.TaskGroup() as starting:
        starting.create_task(stack.start_triton(supervisor, places, settings, MODELS))
        starting.create_task(stack.start_services(supervisor, places, settings, MODELS))
    return replace(data_stores, settings=settings)


@pytest.fixture
async def studio(installation: Installation) -> AsyncIterator[Studio]:
    url = installation.layout.gateway_url
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        yield Studio(http)


@pytest.fixture
async def member(studio: Studio) -> Member:
    return await studio.sign_up()
