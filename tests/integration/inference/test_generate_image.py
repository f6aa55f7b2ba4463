"""Pictures through everything that is real: the gRPC service, Triton, the engine, S3."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from atelier.inference.v1 import inference_pb2_grpc

from deploy.local import layout, probes, stack, stores, triton
from deploy.local.layout import ROOT, Layout, environment_bin
from deploy.local.supervisor import Supervisor
from kit.blobs import Blobs
from kit.config import BlobSettings
from kit.identity import Kind, Signer
from kit.rpc import status
from kit.rpc.client import ServiceChannel, open_channel
from kit.rpc.status import Refusal
from tests.studio import eventually

RECOVERY_SECONDS = 180.0
SLOW = 100  # steps, so that a picture is still being drawn when the test acts


@dataclass
class Unit:
    """Inference, its Triton and its storage."""

    layout: Layout
    supervisor: Supervisor
    channel: ServiceChannel
    blobs: Blobs
    service: str = "inference"
    engine: str = "triton"

    def call(self, user: uuid.UUID | None = None, **asked: Any) -> Any:
        key = f"tmp/{uuid.uuid4()}/1/picture.png"
        request = pb.GenerateImageRequest(**({"prompt": "a red mug", "object_key": key} | asked))
        stub = inference_pb2_grpc.InferenceServiceStub(self.channel.channel)
        return stub.GenerateImage(request, metadata=self.channel.metadata(user))

    async def draw(self, **asked: Any) -> tuple[list[pb.SamplingProgress], pb.GeneratedImage]:
        events = [event async for event in self.call(**asked)]
        return [event.progress for event in events[:-1]], events[-1].image

    async def refused(self, **asked: Any) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.draw(**asked)
        return status.decode(failed.value)

    async def states(self) -> dict[str, str]:
        stub = inference_pb2_grpc.InferenceServiceStub(self.channel.channel)
        reply = await self.channel.call(stub.ListModels, pb.ListModelsRequest())
        return {model.name: pb.ModelState.Name(model.state) for model in reply.models}

    @property
    def serving(self) -> Callable[[], Awaitable[bool]]:
        return probes.grpc_health(self.layout.socket(self.service))


async def _save_tiny_model(folder: Path) -> None:
    python = str(environment_bin(".venv-models") / "python")
    saving = await asyncio.create_subprocess_exec(
        python, "-m", "tests.unit.inference.tiny", str(folder), cwd=ROOT
    )
    assert await saving.wait() == 0


@pytest.fixture(scope="module")
async def unit() -> AsyncIterator[Unit]:
    data = Path(tempfile.mkdtemp(prefix="atelier-test-inference-"))
    places = layout.prepare(data)
    models = data / "models"
    try:
        await _save_tiny_model(models / "sdxl")
        async with (
            Supervisor(places.logs) as supervisor,
            open_channel(places.socket("inference")) as channel,
        ):
            environment = stack.service_environment(places, "inference")
            parts = [
                stores.s3(places),
                triton.part(places, models),
                triton.inference_part(places, environment, models),
            ]
            await supervisor.start(parts)
            blobs = Blobs(_blob_settings(places))
            await blobs.ensure_bucket()
            signed = ServiceChannel(channel, "inference", Signer("worker", places.keys))
            yield Unit(places, supervisor, signed, blobs)
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


@pytest.fixture(scope="module")
async def alone(unit: Unit) -> AsyncIterator[Unit]:
    """The same without Triton: the engine runs in the service's own process."""
    places, name = unit.layout, "alone"
    environment = stack.service_environment(places, "inference")
    environment |= {"ATELIER_LISTEN": places.socket(name), "ATELIER_TRITON_GRPC": ""}
    part = triton.inference_part(places, environment, places.data / "models")
    probe = probes.grpc_health(places.socket(name))
    await unit.supervisor.start([replace(part, name=name, probe=probe)])
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


async def test_progress_comes_step_by_step_and_then_a_picture_lies_in_storage(either: Unit) -> None:
    progress, image = await either.draw(seed=1, steps=6, aspect="4:3", previews=True)
    assert [(one.step, one.steps) for one in progress] == [(step, 6) for step in range(1, 7)]
    assert progress[1].preview.startswith(b"\xff\xd8")
    png = await either.blobs.get(image.object_key)
    assert hashlib.sha256(png).hexdigest() == image.sha256
    assert png.startswith(b"\x89PNG")
    assert (image.width, image.height) == (64, 48)
    assert (image.model, image.seed, image.steps, image.guidance_scale) == ("sdxl", 1, 6, 4.0)
    assert image.seconds > 0


async def test_the_same_seed_gives_the_same_bytes(either: Unit) -> None:
    pictures = [await either.draw(seed=seed, steps=4) for seed in (3, 3, 4)]
    first, again, other = (image.sha256 for _, image in pictures)
    assert first == again != other


async def test_rows_of_two_users_are_drawn_side_by_side(either: Unit) -> None:
    told: list[int] = []

    async def watch(seed: int) -> None:
        async for _ in either.call(uuid.uuid4(), seed=seed, steps=SLOW):
            told.append(seed)  # noqa: PERF401  # as it happens, between the other's

    await asyncio.gather(watch(1), watch(2))
    last_of_the_first = len(told) - 1 - told[::-1].index(told[0])
    other = 3 - told[0]
    assert told.index(other) < last_of_the_first
    assert told.count(1) == told.count(2) == SLOW + 1


async def test_ending_the_call_stops_the_sampler(either: Unit) -> None:
    call = either.call(steps=SLOW)
    await anext(aiter(call))
    call.cancel()
    log = either.layout.logs / f"{either.engine}.log"

    async def stopped() -> list[str]:
        return re.findall(rf"canceled after (\d+) of {SLOW} steps", log.read_text())

    (steps,) = await eventually(stopped)
    assert int(steps) < SLOW


async def test_what_cannot_be_drawn_is_refused_by_reason(either: Unit) -> None:
    unknown = await either.refused(model="none")
    assert unknown.failure.reason == "UNKNOWN_MODEL"
    invalid = await either.refused(aspect="2:1")
    assert invalid.failure.reason == "INVALID_ARGUMENT"
    assert invalid.violations[0].field == "aspect"
    elsewhere = await either.refused(object_key="works/1.png")
    assert elsewhere.violations[0].field == "object_key"
    late = await either.refused(steps=SLOW, timeout_seconds=0.001)
    assert late.failure.reason == "TIMEOUT"


async def test_a_person_may_not_call_it(unit: Unit) -> None:
    token = Signer("accounts", unit.layout.keys)
    bearer = token.user_token(uuid.uuid4(), Kind.ADMINISTRATOR, 60)
    stub = inference_pb2_grpc.InferenceServiceStub(unit.channel.channel)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.ListModels(
            pb.ListModelsRequest(), metadata=(("authorization", f"Bearer {bearer}"),)
        )
    assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED


def gone(unit: Unit) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not await unit.serving()

    return look


async def test_both_engines_draw_the_same(unit: Unit, alone: Unit) -> None:
    pictures = [await each.draw(seed=8, steps=4) for each in (unit, alone)]
    first, second = (image.sha256 for _, image in pictures)
    assert first == second


async def test_a_killed_triton_fails_its_calls_and_comes_back(unit: Unit) -> None:
    assert await unit.states() == {"sdxl": "MODEL_STATE_READY"}
    call = unit.call(steps=SLOW)
    events = aiter(call)
    await anext(events)
    await unit.supervisor.kill("triton")
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for _ in events:
            pass
    assert status.decode(failed.value).failure.reason == "MODEL_FAILED"
    await eventually(gone(unit))
    assert await unit.states() == {"sdxl": "MODEL_STATE_FAILED"}
    await eventually(unit.serving, RECOVERY_SECONDS)
    await unit.draw(steps=2)


async def test_a_model_process_that_died_is_started_anew(unit: Unit) -> None:
    call = unit.call(steps=SLOW)
    events = aiter(call)
    await anext(events)
    server = unit.supervisor.pid("triton")
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for _ in events:
            pass
    assert status.decode(failed.value).failure.reason == "MODEL_FAILED"
    assert unit.supervisor.pid("triton") == server
    await eventually(gone(unit))
    await eventually(unit.serving, RECOVERY_SECONDS)
    await unit.draw(steps=2)
