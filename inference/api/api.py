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

from inference.api.errors import refusal
from inference.api.port import Sampler
from inference.api.readiness import Readiness
from inference.engine.errors import EngineError, ModelFailed
from inference.engine.request import TIMEOUT_SECONDS_DEFAULT, ImageRequest, Picture, Progress
from kit.blobs import Blobs, Stored
from kit.crash import crash_point
from kit.errors import InvalidArgument, Unavailable
from kit.rpc.server import Call

_KEY_PREFIX, _KEY_SUFFIX, _KEY_CHARACTERS_MAX = "tmp/", ".png", 512
_PNG_COMPRESSION = 1  # lossless at every level; the worker encodes the final file anew


class InferenceApi:
    """Translates between messages and the engine."""

    def __init__(self, sampler: Sampler, blobs: Blobs, readiness: Readiness) -> None:
        self._sampler = sampler
        self._blobs = blobs
        self._readiness = readiness

    async def GenerateImage(
        self, request: pb.GenerateImageRequest, call: Call
    ) -> AsyncIterator[pb.GenerateImageResponse]:
        key = _object_key(request.object_key)
        try:
            asked = _asked(request)
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

    async def ListModels(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        states = self._readiness.states
        return pb.ListModelsResponse(
            models=[pb.Model(name=name, state=state) for name, state in states.items()]
        )

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


def _asked(request: pb.GenerateImageRequest) -> ImageRequest:
    asked = ImageRequest(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        model=request.model,
        aspect=request.aspect or "1:1",
        steps=request.steps,
        guidance_scale=request.guidance_scale if request.HasField("guidance_scale") else None,
        seed=request.seed,
        scheduler=request.scheduler,
        previews=request.previews,
        timeout_seconds=request.timeout_seconds or TIMEOUT_SECONDS_DEFAULT,
    )
    asked.check()
    return asked


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
        )
    )
