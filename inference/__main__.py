"""Composes inference."""

from __future__ import annotations

from atelier.inference.v1 import inference_pb2

from inference.api.api import InferenceApi
from inference.api.applying import Rules
from inference.api.asking import PICTURES_BYTES_MAX, Asking
from inference.api.budget import FILES_BYTES_MAX, Budget
from inference.api.keeping import Keeping
from inference.api.objects import Objects
from inference.api.port import Sampler
from inference.api.readiness import Readiness
from inference.api.segment_port import Segmenting
from inference.api.segment_readiness import SegmentReadiness
from inference.api.segmenting import Segmentations
from inference.config import EXTERNAL, InferenceSettings
from inference.safety.checked import Checked
from inference.safety.external import External
from inference.triton.client import Triton
from inference.triton.segment_client import TritonSegmenter
from kit import process
from kit.blobs import Blobs
from kit.process import Process
from kit.rpc.server import Binding, Server


async def compose(running: Process, settings: InferenceSettings) -> None:
    """Opens everything in order; it is closed in reverse."""
    engine = await _open_sampler(running, settings)
    sampler = await _checked(running, settings, engine)
    readiness = Readiness(engine, settings.models_dir, settings.default_model)
    objects, files = Objects(Blobs(settings)), Budget(FILES_BYTES_MAX)
    segmenter = await _open_segmenter(running, settings)
    segmenters = SegmentReadiness(segmenter, settings.models_dir)
    rules = await running.enter_async_context(Rules(objects, files))
    segmentations = await running.enter_async_context(
        Segmentations(segmenter, objects, segmenters, files)
    )
    pictures = Budget(PICTURES_BYTES_MAX)
    asking = await running.enter_async_context(
        Asking(objects, Keeping(segmenter, segmenters), pictures)
    )
    api = InferenceApi(sampler, asking, objects, readiness, segmentations, segmenters, rules)
    service = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
    server = await running.enter_async_context(
        Server(settings, [Binding(service, api)], serving=False)
    )
    running.spawn(readiness.run(server.set_serving), "readiness")
    running.spawn(segmenters.run(), "segmenters")


async def _checked(running: Process, settings: InferenceSettings, sampler: Sampler) -> Sampler:
    if settings.safety != EXTERNAL:
        return sampler
    check = await running.enter_async_context(External(settings.safety_url))
    return Checked(sampler, check)


async def _open_sampler(running: Process, settings: InferenceSettings) -> Sampler:
    if settings.triton_grpc:
        return await running.enter_async_context(Triton(settings.triton_grpc))
    # Here, because they bring torch along.
    from inference.adapters.in_process import InProcess  # noqa: PLC0415
    from inference.engine.opening import Options  # noqa: PLC0415

    options = Options(
        settings.models_dir,
        settings.default_model,
        settings.waiting_max,
        settings.model_bytes_max,
        settings.safety,
        settings.safety_dir,
    )
    return await running.enter_async_context(InProcess(options))


async def _open_segmenter(running: Process, settings: InferenceSettings) -> Segmenting:
    if settings.triton_grpc:
        return await running.enter_async_context(TritonSegmenter(settings.triton_grpc))
    from inference.adapters.segment_in_process import SegmenterInProcess  # noqa: PLC0415

    return await running.enter_async_context(SegmenterInProcess(settings.models_dir))


if __name__ == "__main__":
    process.run(InferenceSettings, compose)
