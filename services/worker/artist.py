"""Inference as a worker sees it: one picture drawn, with its progress, and whether it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import grpc
from atelier.inference.v1 import inference_pb2 as pb
from atelier.inference.v1.inference_pb2_grpc import InferenceServiceStub
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.errors import Unavailable
from kit.rpc.client import ServiceChannel

log = logging.getLogger(__name__)

WATCH_AGAIN_SECONDS = 0.5

OnStep = Callable[[pb.SamplingProgress], None]


class Artist:
    """Draws pictures through InferenceService."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self._stub: Any = InferenceServiceStub(channel.channel)

    async def draw(
        self, request: pb.GenerateImageRequest, on_step: OnStep, timeout_seconds: float
    ) -> pb.GeneratedImage:
        """Draws one picture; cancelling this ends the call and so the sampler.

        Raises:
            grpc.aio.AioRpcError: As the RPC says.
            Unavailable: The stream ended without a picture.
        """
        call = self._stub.GenerateImage(
            request, metadata=self._channel.metadata(), timeout=timeout_seconds
        )
        try:
            async for response in call:
                if response.WhichOneof("event") == "image":
                    image: pb.GeneratedImage = response.image
                    return image
                on_step(response.progress)
        finally:
            call.cancel()
        raise Unavailable("The picture was not finished; it is tried again.")


class Readiness:
    """Follows the health of inference, so that nothing is claimed that cannot be drawn.

    Attributes:
        is_serving: Whether inference said SERVING last, on a connection that still stands.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.is_serving = False
        self._stub: Any = health_pb2_grpc.HealthStub(channel)

    async def watch_forever(self, on_serving: Callable[[], None]) -> None:
        """Watches until cancelled; a broken watch counts as not serving.

        Args:
            on_serving: Called whenever inference begins to serve.
        """
        while True:
            try:
                async for reply in self._stub.Watch(health_pb2.HealthCheckRequest()):
                    self._note(is_serving=reply.status == health_pb2.HealthCheckResponse.SERVING)
                    if self.is_serving:
                        on_serving()
            except grpc.aio.AioRpcError as error:
                log.debug("inference is not watched", extra={"error": error.code().name})
            self._note(is_serving=False)
            await asyncio.sleep(WATCH_AGAIN_SECONDS)

    def _note(self, *, is_serving: bool) -> None:
        if is_serving != self.is_serving:
            log.info("inference", extra={"serving": is_serving})
        self.is_serving = is_serving
