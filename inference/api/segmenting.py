"""SegmentImages: pictures by key in, masks by key and as runs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from atelier.inference.v1 import inference_pb2 as pb

from inference.api.errors import Overloaded, refusal
from inference.api.objects import Objects, written_key
from inference.api.segment_port import Segmenting
from inference.api.segment_readiness import SegmentReadiness
from inference.api.together import together
from inference.engine.errors import EngineError, InvalidRequest, ModelFailed, UnknownModel
from inference.engine.pictures import files as pictures
from inference.engine.pictures.masks import Mask, to_png, to_rle
from inference.engine.segmentation.request import (
    MASK_THRESHOLD,
    TIMEOUT_SECONDS_DEFAULT,
    Found,
    Segmentation,
    SegmentRequest,
)
from kit.errors import InvalidArgument

PICTURES_MAX = 16  # of one call
HELD_MAX = 32  # of all calls at once: 1.6 GB at the largest
_RETRY_SECONDS = 1.0
# A message has at most 1 MiB; what does not fit is read from its file.
_RLE_CHARACTERS_MAX, _RLES_CHARACTERS_MAX = 16 << 10, 512 << 10
_WRITES_MAX = 8


class Segmentations:
    """Asks the segmenter, wherever it runs, and keeps what it found.

    Args:
        engine: The segmenter.
        objects: Where pictures and masks lie.
        readiness: Knows which segmenters there are.
    """

    def __init__(self, engine: Segmenting, objects: Objects, readiness: SegmentReadiness) -> None:
        self._engine = engine
        self._objects = objects
        self._readiness = readiness
        self._held = 0

    async def images(
        self, request: pb.SegmentImagesRequest
    ) -> AsyncGenerator[pb.SegmentImagesResponse, None]:
        """Yields each picture when it is done; leaving the iterator ends the work.

        Raises:
            DomainError: As the proto says.
        """
        asked = _asked(request)
        prefix = written_key(request.key_prefix, "/", "key_prefix")
        if not 1 <= len(request.image_keys) <= PICTURES_MAX:
            raise InvalidArgument.of("image_keys", f"must be 1 to {PICTURES_MAX}")
        if not self._readiness.installed:
            raise refusal(UnknownModel("no segmenter is installed", field="model"))
        if self._held + len(request.image_keys) > HELD_MAX:
            raise Overloaded("too many pictures wait", retry_after_seconds=_RETRY_SECONDS)
        self._held += len(request.image_keys)
        tasks = [
            asyncio.create_task(self._image(at, key, asked, request, prefix))
            for at, key in enumerate(request.image_keys)
        ]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        except EngineError as error:
            if isinstance(error, ModelFailed):
                self._readiness.doubt()
            raise refusal(error) from error
        finally:
            self._held -= len(tasks)
            await _end(tasks)

    async def _image(
        self,
        index: int,
        key: str,
        asked: SegmentRequest,
        request: pb.SegmentImagesRequest,
        prefix: str,
    ) -> pb.SegmentImagesResponse:
        picture = await self._objects.read(key, f"image_keys[{index}]")
        try:
            answer = await self._engine.segment(replace(asked, picture=picture))
        except InvalidRequest as error:
            error.field = error.field or f"image_keys[{index}]"
            raise
        writer = _Masks(self._objects, f"{prefix}{index}/", request.instance_files)
        concepts = [await writer.concept(at, found) for at, found in enumerate(answer.found)]
        await writer.written()
        return _response(index, pictures.content_hash(picture), answer, concepts)


class _Masks:
    """Turns the masks of one picture into messages, and writes their files."""

    def __init__(self, objects: Objects, prefix: str, instance_files: bool) -> None:
        self._objects = objects
        self._prefix = prefix
        self._instance_files = instance_files
        self._left = _RLES_CHARACTERS_MAX
        self._files: list[tuple[str, Mask]] = []

    async def concept(self, at: int, found: Found) -> pb.FoundConcept:
        """What a concept names; its files are written by :meth:`written`."""

        def made() -> pb.FoundConcept:
            message = pb.FoundConcept(
                concept=found.concept, asked_as=found.asked_as, presence=found.presence
            )
            message.union.CopyFrom(self._mask(f"{at}.png", found.union, file=True))
            for number, instance in enumerate(found.instances):
                name = f"{at}-{number}.png"
                mask = self._mask(name, instance.mask, file=self._instance_files)
                message.instances.add(mask=mask, score=instance.score)
            return message

        return await asyncio.to_thread(made)

    def _mask(self, name: str, mask: Mask, *, file: bool) -> pb.Mask:
        message = pb.Mask(area=mask.area)
        if not mask.bits.size:
            return message
        runs = to_rle(mask)
        if len(runs) <= min(_RLE_CHARACTERS_MAX, self._left):
            self._left -= len(runs)
            message.rle = runs
        if file or not message.rle:
            message.object_key = self._prefix + name
            self._files.append((message.object_key, mask))
        message.box.CopyFrom(pb.MaskBox(**mask.box._asdict()))
        return message

    async def written(self) -> None:
        """Returns when every file is written."""
        places = asyncio.Semaphore(_WRITES_MAX)

        async def write(key: str, mask: Mask) -> None:
            async with places:
                png = await asyncio.to_thread(to_png, mask)
                await self._objects.write(key, png, "image/png")

        await together(write(key, mask) for key, mask in self._files)


def _asked(request: pb.SegmentImagesRequest) -> SegmentRequest:
    asked = SegmentRequest(
        picture=b"",
        concepts=tuple(request.concepts),
        model=request.model,
        score_min=request.score_min if request.HasField("score_min") else None,
        mask_threshold=request.mask_threshold or MASK_THRESHOLD,
        timeout_seconds=request.timeout_seconds or TIMEOUT_SECONDS_DEFAULT,
    )
    try:
        asked.check()
    except EngineError as error:
        raise refusal(error) from error
    return asked


def _response(
    index: int, sha256: str, answer: Segmentation, concepts: Sequence[pb.FoundConcept]
) -> pb.SegmentImagesResponse:
    return pb.SegmentImagesResponse(
        index=index,
        sha256=sha256,
        width=answer.width,
        height=answer.height,
        concepts=concepts,
        model=answer.model,
        was_known=answer.was_known,
        seconds=answer.seconds,
    )


async def _end(tasks: Sequence[asyncio.Task[pb.SegmentImagesResponse]]) -> None:
    """Cancels what is left, and waits until it is gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
