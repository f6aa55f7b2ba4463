"""InferenceService over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from atelier.inference.v1 import inference_pb2 as pb

from inference.api.applying import Rules
from inference.api.asking import Asking
from inference.api.errors import refusal
from inference.api.keeping import proof
from inference.api.objects import Objects, written_key
from inference.api.port import Sampler
from inference.api.readiness import Readiness
from inference.api.segment_readiness import SegmentReadiness
from inference.api.segmenting import Segmentations
from inference.engine.errors import EngineError
from inference.engine.pictures.files import encode_png
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.safety.port import Verdict
from kit.blobs import Stored
from kit.crash import crash_point
from kit.rpc.server import Call


class InferenceApi:
    """Translates between messages and the engine."""

    def __init__(
        self,
        sampler: Sampler,
        asking: Asking,
        objects: Objects,
        readiness: Readiness,
        segmentations: Segmentations,
        segmenters: SegmentReadiness,
        rules: Rules,
    ) -> None:
        self._sampler = sampler
        self._asking = asking
        self._objects = objects
        self._readiness = readiness
        self._segmentations = segmentations
        self._segmenters = segmenters
        self._rules = rules

    async def GenerateImage(
        self, request: pb.GenerateImageRequest, call: Call
    ) -> AsyncIterator[pb.GenerateImageResponse]:
        written_key(request.object_key, ".png", "object_key")
        try:
            async with (
                self._asking.request(request) as asked,
                aclosing(self._sampler.sample(asked)) as events,
            ):
                async for event in events:
                    if isinstance(event, Progress):
                        yield _progress(event)
                    else:
                        yield await self._stored(request, asked, event)
        except EngineError as error:
            self._readiness.heard(request.model, error)
            raise refusal(error) from error

    async def SegmentImages(
        self, request: pb.SegmentImagesRequest, call: Call
    ) -> AsyncIterator[pb.SegmentImagesResponse]:
        async with aclosing(self._segmentations.images(request)) as images:
            async for image in images:
                yield image

    async def ApplyRules(self, request: pb.ApplyRulesRequest, call: Call) -> pb.ApplyRulesResponse:
        return await self._rules.apply(request)

    async def ListModels(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        return pb.ListModelsResponse(models=[*self._readiness.models, *self._segmenters.models])

    async def _stored(
        self, request: pb.GenerateImageRequest, asked: ImageRequest, picture: Picture
    ) -> pb.GenerateImageResponse:
        png = await asyncio.to_thread(encode_png, picture.pixels)
        kept = await asyncio.to_thread(proof, asked, png) if request.kept_concepts else None
        stored = await self._objects.write(request.object_key, png, "image/png")
        crash_point("picture.stored")
        return _image(stored, picture, kept)


def _progress(progress: Progress) -> pb.GenerateImageResponse:
    return pb.GenerateImageResponse(
        progress=pb.SamplingProgress(
            step=progress.step, steps=progress.steps, preview=progress.preview
        )
    )


def _image(
    stored: Stored, picture: Picture, kept: pb.ProtectionProof | None
) -> pb.GenerateImageResponse:
    height, width = picture.pixels.shape[:2]
    return pb.GenerateImageResponse(
        image=pb.GeneratedImage(
            object_key=stored.key,
            width=width,
            height=height,
            sha256=stored.sha256,
            model=picture.model,
            seed=picture.seed,
            steps=picture.steps,
            guidance_scale=picture.guidance_scale,
            seconds=picture.seconds,
            safety=_safety(picture.verdict),
            proof=kept,
        )
    )


def _safety(verdict: Verdict) -> pb.SafetyVerdict | None:
    if not verdict.check:
        return None
    return pb.SafetyVerdict(score=verdict.score, flags=verdict.flags, check=verdict.check)
