"""InferenceService over gRPC."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
from atelier.inference.v1 import inference_pb2 as pb
from minio.error import MinioException
from numpy.typing import NDArray
from PIL import Image
from urllib3.exceptions import HTTPError

from inference.api.applying import Rules
from inference.api.asking import Asking
from inference.api.errors import refusal
from inference.api.port import Sampler
from inference.api.readiness import Readiness
from inference.api.segment_readiness import SegmentReadiness
from inference.api.segmenting import Segmentations
from inference.engine.errors import EngineError, ModelFailed
from inference.engine.request import Picture, Progress
from inference.engine.safety.port import Verdict
from kit.blobs import Blobs, Stored
from kit.crash import crash_point
from kit.errors import InvalidArgument, Unavailable
from kit.rpc.server import Call

_KEY_PREFIX, _KEY_SUFFIX, _KEY_CHARACTERS_MAX = "tmp/", ".png", 512
_PNG_COMPRESSION = 1  # lossless at every level; the worker encodes the final file anew


class InferenceApi:
    """Translates between messages and the engine."""

    def __init__(
        self,
        sampler: Sampler,
        asking: Asking,
        blobs: Blobs,
        readiness: Readiness,
        segmentations: Segmentations,
        segmenters: SegmentReadiness,
        rules: Rules,
    ) -> None:
        self._sampler = sampler
        self._asking = asking
        self._blobs = blobs
        self._readiness = readiness
        self._segmentations = segmentations
        self._segmenters = segmenters
        self._rules = rules

    async def GenerateImage(
        self, request: pb.GenerateImageRequest, call: Call
    ) -> AsyncIterator[pb.GenerateImageResponse]:
        key = _object_key(request.object_key)
        try:
            asked = await self._asking.request(request)
            async with aclosing(self._sampler.sample(asked)) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield _progress(event)
                    else:
                        yield _image(await self._keep(key, event), event)
        except EngineError as error:
            if isinstance(error, ModelFailed):
                self._readiness.doubt()
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
        segmenters = self._segmenters.states
        others = [pb.Model(name=name, state=state) for name, state in segmenters.items()]
        return pb.ListModelsResponse(models=[*self._readiness.models, *others])

    async def _keep(self, key: str, picture: Picture) -> Stored:
        png = await asyncio.to_thread(_png, picture.pixels)
        try:
            stored = await self._blobs.put(key, png, "image/png")
        except (MinioException, HTTPError) as error:
            raise Unavailable("the object storage cannot be reached") from error
        crash_point("picture.stored")
        return stored


def _object_key(key: str) -> str:
    well_formed = key.startswith(_KEY_PREFIX) and key.endswith(_KEY_SUFFIX)
    if not well_formed or len(key) > _KEY_CHARACTERS_MAX or ".." in key:
        raise InvalidArgument.of("object_key", 'must begin with "tmp/" and end with ".png"')
    return key


def _png(pixels: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=_PNG_COMPRESSION)
    return out.getvalue()


def _progress(progress: Progress) -> pb.GenerateImageResponse:
    return pb.GenerateImageResponse(
        progress=pb.SamplingProgress(
            step=progress.step, steps=progress.steps, preview=progress.preview
        )
    )


def _image(stored: Stored, picture: Picture) -> pb.GenerateImageResponse:
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
        )
    )


def _safety(verdict: Verdict) -> pb.SafetyVerdict | None:
    if not verdict.check:
        return None
    return pb.SafetyVerdict(score=verdict.score, flags=verdict.flags, check=verdict.check)
