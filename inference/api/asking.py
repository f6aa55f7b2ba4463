"""A message as the engine's request, with the pictures that it names by key."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from atelier.inference.v1 import inference_pb2 as pb

from inference.api.errors import Overloaded
from inference.api.keeping import Keeping
from inference.api.objects import Objects
from inference.engine.errors import InvalidRequest
from inference.engine.material import Control, Lora, Pixels
from inference.engine.pictures.reading import read
from inference.engine.request import TIMEOUT_SECONDS_DEFAULT, ImageRequest

# A file has up to 50 MB, and 25 megapixels are 75 MB until they are made smaller. What is left
# of them, 12 MB each, is held by as many requests as may ask at once.
READING_MAX = 2
ASKING_MAX = 32
_RETRY_SECONDS = 1.0
_KINDS = {pb.CONTROL_KIND_CANNY: "canny", pb.CONTROL_KIND_DEPTH: "depth"}
_QUALITIES = {pb.QUALITY_FAST: "fast", pb.QUALITY_STANDARD: "standard", pb.QUALITY_BEST: "best"}


class Asking:
    """Reads what requests name.

    Args:
        objects: The storage.
        keeping: Finds what stays as it is.
    """

    def __init__(self, objects: Objects, keeping: Keeping) -> None:
        self._objects = objects
        self._keeping = keeping
        self._reading = asyncio.Semaphore(READING_MAX)
        self._asking = 0

    async def request(self, asked: pb.GenerateImageRequest) -> ImageRequest:
        """Returns what the engine is to draw.

        Everything that needs no picture is checked before the first is read.

        Raises:
            InvalidRequest: A field is not valid, or a file is no picture.
            InvalidArgument: A key is none, or its object is too large.
            NotFound: An object is not there.
            Unavailable: The storage cannot be reached.
            Overloaded: The pictures of too many requests are held already.
            EngineError: As the segmenter says, where something is to be kept.
        """
        words = _words(asked)
        words.check()
        for number, control in enumerate(asked.controls):
            if control.kind not in _KINDS:
                field = f"controls[{number}].kind"
                raise InvalidRequest(f"{field}: must be canny or depth", field=field)
        if asked.kept_concepts:
            self._keeping.check(asked)
        if not (asked.image_key or asked.mask_key or asked.controls):
            return words
        if self._asking >= ASKING_MAX:
            raise Overloaded("too many pictures wait", retry_after_seconds=_RETRY_SECONDS)
        self._asking += 1
        try:
            made = replace(words, **await self._material(asked))
        finally:
            self._asking -= 1
        made.check()
        return made

    async def _material(self, asked: pb.GenerateImageRequest) -> dict[str, Any]:
        """The fields of a request that are pictures, read one after another."""
        controls = []
        for number, control in enumerate(asked.controls):
            drawing, _ = await self._picture(control.image_key, f"controls[{number}].image_key")
            controls.append(_control(control, drawing))
        made: dict[str, Any] = {"controls": tuple(controls)}
        if asked.mask_key:
            made["mask"], _ = await self._picture(asked.mask_key, "mask_key", grey=True)
        if asked.image_key:
            made["image"], file = await self._picture(asked.image_key, "image_key")
            if asked.kept_concepts:
                made["mask"] = await self._keeping.mask(file, made["image"], asked.kept_concepts)
        return made

    async def _picture(self, key: str, field: str, grey: bool = False) -> tuple[Pixels, bytes]:
        """A picture and its file."""
        async with self._reading:
            file = await self._objects.read(key, field)
            try:
                return await asyncio.to_thread(read, file, grey), file
            except InvalidRequest as error:
                raise InvalidRequest(f"{field}: {error}", field=field) from error


def _words(asked: pb.GenerateImageRequest) -> ImageRequest:
    return ImageRequest(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        model=asked.model,
        aspect=asked.aspect,
        steps=asked.steps,
        guidance_scale=asked.guidance_scale if asked.HasField("guidance_scale") else None,
        seed=asked.seed,
        scheduler=asked.scheduler,
        previews=asked.previews,
        timeout_seconds=asked.timeout_seconds or TIMEOUT_SECONDS_DEFAULT,
        quality=_QUALITIES.get(asked.quality, ""),
        strength=asked.strength if asked.HasField("strength") else None,
        loras=tuple(_lora(lora) for lora in asked.loras),
    )


def _lora(lora: pb.Lora) -> Lora:
    return Lora(lora.name, lora.weight if lora.HasField("weight") else 1.0)


def _control(control: pb.Control, drawing: Pixels) -> Control:
    scale = control.scale if control.HasField("scale") else 1.0
    kind, prepared = _KINDS[control.kind], control.prepared
    return Control(kind, drawing, prepared, scale, control.start, control.end or 1.0)
