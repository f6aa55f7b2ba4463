"""Composes inference."""

from __future__ import annotations

from atelier.inference.v1 import inference_pb2

from inference.api.api import InferenceApi
from inference.api.readiness import Readiness
from inference.config import InferenceSettings
from inference.triton.client import Triton
from kit import process
from kit.blobs import Blobs
from kit.process import Process
from kit.rpc.server import Binding, Server


async def compose(running: Process, settings: InferenceSettings) -> None:
    """Opens everything in order; it is closed in reverse."""
    triton = await running.enter_async_context(Triton(settings.triton_grpc))
    readiness = Readiness(triton, settings.models_dir, settings.default_model)
    api = InferenceApi(triton, Blobs(settings), readiness)
    service = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
    server = await running.enter_async_context(
        Server(settings, [Binding(service, api)], serving=False)
    )
    running.spawn(readiness.run(server.set_serving), "readiness")


if __name__ == "__main__":
    process.run(InferenceSettings, compose)
