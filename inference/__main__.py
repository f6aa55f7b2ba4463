"""Composes inference."""

from __future__ import annotations

from atelier.inference.v1 import inference_pb2

from inference.api.api import InferenceApi
from inference.api.port import Sampler
from inference.api.readiness import Readiness
from inference.config import InferenceSettings
from inference.triton.client import Triton
from kit import process
from kit.blobs import Blobs
from kit.process import Process
from kit.rpc.server import Binding, Server


async def compose(running: Process, settings: InferenceSettings) -> None:
    """Opens everything in order; it is closed in reverse."""
    sampler = await _open_engine(running, settings)
    readiness = Readiness(sampler, settings.models_dir, settings.default_model)
    api = InferenceApi(sampler, Blobs(settings), readiness)
    service = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
    server = await running.enter_async_context(
        Server(settings, [Binding(service, api)], serving=False)
    )
    running.spawn(readiness.run(server.set_serving), "readiness")


async def _open_engine(running: Process, settings: InferenceSettings) -> Sampler:
    if settings.triton_grpc:
        return await running.enter_async_context(Triton(settings.triton_grpc))
    # Here, because it brings torch along.
    from inference.adapters.in_process import InProcess  # noqa: PLC0415

    engine = InProcess(settings.models_dir, settings.default_model)
    return await running.enter_async_context(engine)


if __name__ == "__main__":
    process.run(InferenceSettings, compose)
