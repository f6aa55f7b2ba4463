"""A message as the engine's request, with the pictures that it names by key."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from atelier.inference.v1 import inference_pb2 as pb

from inference.api.objects import Objects
from inference.api.together import together
from inference.engine.errors import InvalidRequest
from inference.engine.material import Control, Lora, Pixels
from inference.engine.pictures.reading import read
from inference.engine.request import TIMEOUT_SECONDS_DEFAULT, ImageRequest
from inference.engine.shapes import nearest_aspect

# A picture of 25 megapixels is 75 MB while it is made smaller.
DECODING_MAX = 2
_KINDS = {pb.CONTROL_KIND_CANNY: "canny", pb.CONTROL_KIND_DEPTH: "depth"}
_QUALITIES = {pb.QUALITY_FAST: "fast", pb.QUALITY_STANDARD: "standard", pb.QUALITY_BEST: "best"}


class Asking:
    """Reads what requests name.

    Args:
        objects: The storage.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._decoding = asyncio.Semaphore(DECODING_MAX)

    async def request(self, asked: pb.GenerateImageRequest) -> ImageRequest:
        """Returns what the engine is to draw.

        Everything that needs no picture is checked before the first is read.

        Raises:
            InvalidRequest: A field is not valid, or a file is no picture.
            InvalidArgument: A key is none, or its object is too large.
            NotFound: An object is not there.
            Unavailable: The storage cannot be reached.
        """
        words = _words(asked)
        words.check()
        for number, control in enumerate(asked.controls):
            if control.kind not in _KINDS:
                field = f"controls[{number}].kind"
                raise InvalidRequest(f"{field}: must be canny or depth", field=field)
        image, mask, drawings = await self._pictures(asked)
        aspect = nearest_aspect(image.width, image.height) if image and not asked.aspect else ""
        whole = {
            "image": image,
            "mask": mask,
            "controls": tuple(map(_control, asked.controls, drawings)),
            "aspect": aspect or words.aspect,
        }
        made = ImageRequest(**vars(words) | whole)
        made.check()
        return made

    async def _pictures(
        self, asked: pb.GenerateImageRequest
    ) -> tuple[Pixels | None, Pixels | None, Sequence[Pixels]]:
        drawings = [
            self._picture(control.image_key, f"controls[{number}].image_key")
            for number, control in enumerate(asked.controls)
        ]
        image = self._picture(asked.image_key, "image_key") if asked.image_key else _none()
        mask = self._picture(asked.mask_key, "mask_key", grey=True) if asked.mask_key else _none()
        made = await together([image, mask, *drawings])
        return made[0], made[1], [each for each in made[2:] if each]

    async def _picture(self, key: str, field: str, grey: bool = False) -> Pixels | None:
        data = await self._objects.read(key, field)
        async with self._decoding:
            try:
                return await asyncio.to_thread(read, data, grey)
            except InvalidRequest as error:
                raise InvalidRequest(f"{field}: {error}", field=field) from error


async def _none() -> Pixels | None:
    return None


def _words(asked: pb.GenerateImageRequest) -> ImageRequest:
    return ImageRequest(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        model=asked.model,
        aspect=asked.aspect or "1:1",
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
