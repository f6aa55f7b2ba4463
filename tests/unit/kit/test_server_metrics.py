"""Every call is counted and timed under its name and its code, streams as well."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from atelier.inference.v1.inference_pb2_grpc import InferenceServiceStub
from prometheus_client import REGISTRY

from inference.api.errors import Overloaded
from kit.config import ServerSettings
from kit.identity import Signer, create_key, publish_keys
from kit.rpc.client import ServiceChannel, open_channel
from kit.rpc.server import Binding, Call, Server
from tests.studio import eventually

NAME = "atelier.inference.v1.InferenceService"
PROGRESS = pb.GenerateImageResponse(progress=pb.SamplingProgress(step=1, steps=2))


class Service:
    """Draws, refuses, breaks or takes for ever, by the prompt."""

    def __init__(self) -> None:
        self.draws = asyncio.Event()
        self.asked = asyncio.Event()

    async def GenerateImage(  # noqa: N802
        self, request: pb.GenerateImageRequest, call: Call
    ) -> AsyncIterator[pb.GenerateImageResponse]:
        yield PROGRESS
        if request.prompt == "refused":
            raise Overloaded("too many")
        if request.prompt == "broken":
            raise ValueError("a bug")
        if request.prompt == "slow":
            await self.draws.wait()

    async def SegmentImages(  # noqa: N802
        self, request: pb.SegmentImagesRequest, call: Call
    ) -> AsyncIterator[pb.SegmentImagesResponse]:
        yield pb.SegmentImagesResponse()

    async def ApplyRules(  # noqa: N802
        self, request: pb.ApplyRulesRequest, call: Call
    ) -> pb.ApplyRulesResponse:
        return pb.ApplyRulesResponse()

    async def ListModels(  # noqa: N802
        self, request: pb.ListModelsRequest, call: Call
    ) -> pb.ListModelsResponse:
        self.asked.set()
        await self.draws.wait()
        return pb.ListModelsResponse()


class Stage:
    """A server and its caller."""

    def __init__(self, service: Service, signed: ServiceChannel) -> None:
        self.service = service
        self._signed = signed
        self._stub: Any = InferenceServiceStub(signed.channel)

    def draw(self, prompt: str) -> Any:
        asked = pb.GenerateImageRequest(prompt=prompt)
        return self._stub.GenerateImage(asked, metadata=self._signed.metadata())

    def models(self) -> Any:
        return self._stub.ListModels(pb.ListModelsRequest(), metadata=self._signed.metadata())


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    folder = Path(tempfile.mkdtemp())  # a socket's path has at most 107 bytes
    create_key(folder, "worker")
    publish_keys(folder)
    settings = ServerSettings(
        service="inference", keys_dir=folder, listen=f"unix:{folder}/s", grace_seconds=0.1
    )
    descriptor = pb.DESCRIPTOR.services_by_name["InferenceService"]
    service = Service()
    async with (
        Server(settings, [Binding(descriptor, service)]),
        open_channel(settings.listen) as channel,
    ):
        yield Stage(service, ServiceChannel(channel, "inference", Signer("worker", folder)))
    shutil.rmtree(folder)


def count(rpc: str, code: str) -> float:
    labels = {"rpc": f"{NAME}/{rpc}", "code": code}
    return REGISTRY.get_sample_value("atelier_rpc_seconds_count", labels) or 0.0


async def counted(rpc: str, code: str, before: float) -> None:
    async def one_more() -> bool:
        return count(rpc, code) == before + 1

    await eventually(one_more)


async def ended(call: Any) -> None:
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError:
        pass


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("drawn", "OK"), ("refused", "RESOURCE_EXHAUSTED"), ("broken", "INTERNAL")],
)
async def test_a_stream_is_counted_once_by_how_it_ended(
    stage: Stage, prompt: str, code: str
) -> None:
    before = count("GenerateImage", code)
    await ended(stage.draw(prompt))
    await counted("GenerateImage", code, before)


async def test_a_caller_that_leaves_a_stream_is_no_success(stage: Stage) -> None:
    fine, left = count("GenerateImage", "OK"), count("GenerateImage", "CANCELLED")
    call = stage.draw("slow")
    await anext(aiter(call))
    call.cancel()
    await counted("GenerateImage", "CANCELLED", left)
    assert count("GenerateImage", "OK") == fine


async def test_a_caller_that_does_not_wait_for_its_answer_is_no_success(stage: Stage) -> None:
    fine, left = count("ListModels", "OK"), count("ListModels", "CANCELLED")
    call = asyncio.ensure_future(stage.models())
    await stage.service.asked.wait()
    call.cancel()
    await counted("ListModels", "CANCELLED", left)
    assert count("ListModels", "OK") == fine
