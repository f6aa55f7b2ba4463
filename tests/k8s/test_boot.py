"""Every command of k8s/ starts with its rendered settings, over TCP, until its probes say ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy import keys
from deploy.local import postgres, stores, triton
from deploy.local.layout import SERVICES
from deploy.local.supervisor import Supervisor
from tests.acceptance.test_advert import settled, submit, works_of
from tests.conftest import Installation
from tests.k8s.loopback import DATABASE, Loopback, _free_port
from tests.k8s.rendered import Cluster, Container
from tests.studio import Studio

WORKERS = ("worker-cpu/worker", "worker-text/worker")
GPU_UNIT = ("worker-gpu/triton", "worker-gpu/inference", "worker-gpu/worker")


@dataclass
class Machine:
    """Containers running as processes.

    Attributes:
        loopback: What stands for the cluster.
        supervisor: Runs them.
    """

    loopback: Loopback
    supervisor: Supervisor

    def container(self, name: str) -> Container:
        (found,) = (each for each in self.loopback.cluster.containers() if each.name == name)
        return found

    async def start(self, names: Sequence[str]) -> None:
        parts = [self.loopback.part(self.container(name)) for name in names]
        await self.supervisor.start(parts)

    async def end(self, name: str) -> None:
        """Ends a container as the kubelet would, and checks that it need not be killed."""
        began = time.monotonic()
        await self.supervisor.stop(name.replace("/", "-"))
        assert time.monotonic() - began < self.container(name).pod["terminationGracePeriodSeconds"]

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.loopback.port('gateway', 8080)}"


@pytest.fixture(scope="module")
async def machine(
    data_stores: Installation, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Machine]:
    """Every pod but the GPU unit, over a database, a bus and a bucket of their own."""
    scratch = tmp_path_factory.mktemp("loopback")
    (scratch / "nats").mkdir()
    ours = {"nats": _free_port(), "nats_monitor": _free_port()}
    places = replace(data_stores.layout, data=scratch, ports=data_stores.layout.ports | ours)
    (scratch / "triton").mkdir()
    await postgres.bootstrap(places, DATABASE)
    supervisor = data_stores.supervisor
    machine = Machine(Loopback(cluster, places, scratch / "files"), supervisor)
    bus = replace(stores.nats(places), name="k8s-nats")
    services = [f"{service}/{service}" for service in SERVICES]
    started = [*services, *WORKERS, "gateway/gateway"]
    try:
        await supervisor.start([bus])
        await machine.start(services)
        await machine.start(started[len(services) :])
        yield machine
    finally:
        await asyncio.gather(*(machine.end(name) for name in started))
        await supervisor.stop(bus.name)


@pytest.fixture
async def studio(machine: Machine) -> AsyncIterator[Studio]:
    async with httpx.AsyncClient(base_url=machine.gateway_url, timeout=60, trust_env=False) as http:
        yield Studio(http)


async def test_pods_that_are_ready_write_copy_together(studio: Studio) -> None:
    """Over TCP, with each pod's own key: calls, events, the queue, both pools without a card."""
    member = await studio.sign_up()
    inputs = {"text": "a new strawberry latte at our cafe"}
    job = await submit(member, category="eats", inputs=inputs, outputs=["marketing_copy"])
    job = await member.finished(job["id"])
    assert job["state"] == "succeeded", job
    (work,) = await works_of(member, job)
    assert work["state"] == "completed"
    assert (await settled(member, job["id"]))["captured"] == 2


@pytest.mark.timeout(900)
async def test_the_gpu_unit_starts_and_ends_in_its_order(machine: Machine, studio: Studio) -> None:
    if not triton.supported():
        pytest.skip("NOT TESTED: the model environment is not installed (make models)")
    for name in GPU_UNIT:  # a sidecar is ready before the next container is started
        await machine.start([name])
    try:
        member = await studio.sign_up()
        job = await submit(member, template_id="general-picture", inputs={"text": "a cake"})
        job = await member.finished(job["id"])
        assert job["state"] == "succeeded", job
    finally:
        for name in reversed(GPU_UNIT):
            await machine.end(name)


async def test_the_roles_made_for_a_cluster_are_those_that_services_expect(
    postgres_server: Installation,
) -> None:
    url = postgres.admin_url(postgres_server.layout, "postgres")
    connection = await asyncpg.connect(url)
    change = connection.transaction()
    await change.start()
    try:
        await connection.execute(keys.roles(["trial"], {"trial": "a", "trial_owner": "b"}))
        owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'trial'"
        assert await connection.fetchval(owner) == "trial_owner"
        # It has to ask for the system role: what it serves users with is less.
        for right, has in (("MEMBER", True), ("USAGE", False)):
            held = "SELECT pg_has_role('trial', 'trial_system', $1)"
            assert await connection.fetchval(held, right) is has
        path = "SELECT rolconfig FROM pg_roles WHERE rolname = 'trial_system'"
        assert await connection.fetchval(path) == ["search_path=trial"]
    finally:
        await change.rollback()
        await connection.close()


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    keys.make(tmp_path / "secrets", "db:5432")
    files = [path for path in (tmp_path / "secrets").rglob("*") if path.is_file()]
    made = {path: path.read_text() for path in files}
    keys.make(tmp_path / "secrets", "elsewhere:5432")
    assert {path: path.read_text() for path in files} == made
    for path in files:
        assert path.name == "jwks.json" or path.stat().st_mode & 0o077 == 0, path
