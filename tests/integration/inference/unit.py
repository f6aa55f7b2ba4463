"""Inference with its Triton and its storage, as tests call it."""

from __future__ import annotations

import io
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from atelier.inference.v1 import inference_pb2_grpc
from PIL import Image

from deploy.local import probes
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from kit.blobs import Blobs
from kit.rpc import status
from kit.rpc.client import ServiceChannel
from kit.rpc.status import Refusal


@dataclass
class Unit:
    """Inference, its Triton and its storage."""

    layout: Layout
    supervisor: Supervisor
    channel: ServiceChannel
    blobs: Blobs
    service: str = "inference"
    engine: str = "triton"

    def call(
        self, user: uuid.UUID | None = None, deadline_seconds: float | None = None, **asked: Any
    ) -> Any:
        key = f"tmp/{uuid.uuid4()}/1/picture.png"
        request = pb.GenerateImageRequest(**({"prompt": "a red mug", "object_key": key} | asked))
        stub = inference_pb2_grpc.InferenceServiceStub(self.channel.channel)
        metadata = self.channel.metadata(user)
        return stub.GenerateImage(request, metadata=metadata, timeout=deadline_seconds)

    async def draw(self, **asked: Any) -> tuple[list[pb.SamplingProgress], pb.GeneratedImage]:
        events = [event async for event in self.call(**asked)]
        return [event.progress for event in events[:-1]], events[-1].image

    async def refused(self, **asked: Any) -> Refusal:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.draw(**asked)
        return status.decode(failed.value)

    async def keep(self, pixels: np.ndarray, kind: str = "PNG") -> str:
        """Stores a picture and returns its key."""
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind)
        return await self.store(out.getvalue())

    async def store(self, data: bytes) -> str:
        key = f"tmp/{uuid.uuid4()}/1/input"
        await self.blobs.put(key, data, "application/octet-stream")
        return key

    async def pixels(self, image: pb.GeneratedImage) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(await self.blobs.get(image.object_key))))

    async def states(self) -> dict[str, str]:
        stub = inference_pb2_grpc.InferenceServiceStub(self.channel.channel)
        reply = await self.channel.call(stub.ListModels, pb.ListModelsRequest())
        return {model.name: pb.ModelState.Name(model.state) for model in reply.models}

    @property
    def model_processes(self) -> list[int]:
        """Of its Triton."""
        server = self.supervisor.pid("triton")
        children = Path(f"/proc/{server}/task/{server}/children")
        return [int(pid) for pid in children.read_text().split()]

    @property
    def serving(self) -> Callable[[], Awaitable[bool]]:
        return probes.grpc_health(self.layout.socket(self.service))
