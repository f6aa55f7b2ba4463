"""Inference with its Triton and its storage, and the same engine in the service's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import probes, stack, stores, triton
from deploy.local.layout import ROOT, Layout, environment_bin
from deploy.local.part import Part
from kit.blobs import Blobs
from kit.config import BlobSettings
from kit.identity import Signer
from kit.rpc.client import ServiceChannel, open_channel
from tests.grounds import ground
from tests.integration.inference.unit import Unit


def _hasty(part: Part) -> Part:
    """The same part, given up sooner, so that a test need not wait for a minute."""
    assert part.liveness
    return replace(part, liveness=replace(part.liveness, period_seconds=2.0))


async def _save_models(folder: Path) -> None:
    python = str(environment_bin(".venv-models") / "python")
    saving = await asyncio.create_subprocess_exec(
        python, "-m", "tests.unit.inference.tiny_kin", str(folder), cwd=ROOT
    )
    assert await saving.wait() == 0


@pytest.fixture(scope="package")
async def unit() -> AsyncIterator[Unit]:
    async with (
        ground("inference") as (places, supervisor),
        open_channel(places.socket("inference")) as channel,
    ):
        models = places.data / "models"
        await _save_models(models)
        environment = stack.service_environment(places, "inference")
        parts = [
            stores.s3(places),
            _hasty(triton.part(places, models)),
            triton.inference_part(places, environment, models),
        ]
        await supervisor.start(parts)
        blobs = Blobs(_blob_settings(places))
        await blobs.ensure_bucket()
        signed = ServiceChannel(channel, "inference", Signer("worker", places.keys))
        yield Unit(places, supervisor, signed, blobs)


@pytest.fixture(scope="package")
async def alone(unit: Unit) -> AsyncIterator[Unit]:
    """The same without Triton: the engine runs in the service's own process."""
    places, name = unit.layout, "alone"
    environment = stack.service_environment(places, "inference")
    environment |= {"ATELIER_LISTEN": places.socket(name), "ATELIER_TRITON_GRPC": ""}
    part = triton.inference_part(places, environment, places.data / "models")
    probe = probes.grpc_health(places.socket(name))
    alive = probes.grpc_liveness(places.socket(name))
    await unit.supervisor.start([replace(part, name=name, probe=probe, liveness=alive)])
    async with open_channel(places.socket(name)) as channel:
        signed = replace(unit.channel, channel=channel)
        yield replace(unit, channel=signed, service=name, engine=name)
    await unit.supervisor.stop(name)


@pytest.fixture(params=["unit", "alone"])
def either(request: pytest.FixtureRequest, unit: Unit, alone: Unit) -> Unit:
    return unit if request.param == "unit" else alone


def _blob_settings(places: Layout) -> BlobSettings:
    return BlobSettings(
        keys_dir=places.keys,
        s3_endpoint=f"http://{places.address('s3')}",
        s3_access_key=places.secrets["s3:access"],
        s3_secret_key=places.secrets["s3:secret"],
    )
