"""SegmentImages: pictures by key in, masks by key and as runs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from atelier.inference.v1 import inference_pb2 as pb

from inference.api.budget import Budget
from inference.api.errors import Overloaded, refusal
from inference.api.objects import Objects, written_key
from inference.api.segment_port import Segmenting
from inference.api.segment_readiness import SegmentReadiness
from inference.api.together import on_a_thread, together
from inference.engine.errors import EngineError, InvalidRequest, ModelFailed, UnknownModel
from inference.engine.pictures import files as pictures
from inference.engine.pictures.files import FILE_BYTES_MAX
from inference.engine.pictures.masks import Runs, to_png
from inference.engine.segmentation.request import (
    MASK_THRESHOLD,
    TIMEOUT_SECONDS_DEFAULT,
    Found,
    Segmentation,
    SegmentRequest,
)
from kit.errors import InvalidArgument

PICTURES_MAX = 16  # of one call
HELD_MAX = 32  # of all calls at once; their files share a budget
_RETRY_SECONDS = 1.0
# A message has at most 1 MiB; what does not fit is read from its file.
_RLE_CHARACTERS_MAX, _RLES_CHARACTERS_MAX = 16 << 10, 512 << 10
WRITES_MAX = 4  # of all calls at once: a mask of 25 megapixels is 100 MB while it is written


class Segmentations:
    """Asks the segmenter, wherever it runs, and keeps what it found.

    Args:
        engine: The segmenter.
        objects: Where pictures and masks lie.
        readiness: Knows which segmenters there are.
        budget: Of the files of all calls.
    """

    def __init__(
        self, engine: Segmenting, objects: Objects, readiness: SegmentReadiness, budget: Budget
    ) -> None:
        self._engine = engine
        self._objects = objects
        self._readiness = readiness
        self._budget = budget
        self._writes = _Writes()
        self._held = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writes.threads.shutdown(wait=False, cancel_futures=True)

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
        sha256, answer = await self._answer(key, f"image_keys[{index}]", asked)
        files = f"{prefix}{index}/"
        writer = _Masks(self._objects, self._writes, files, request.instance_files)
        concepts = [writer.concept(at, found) for at, found in enumerate(answer.found)]
        await writer.written()
        return _response(index, sha256, answer, concepts)

    async def _answer(
        self, key: str, field: str, asked: SegmentRequest
    ) -> tuple[str, Segmentation]:
        """The SHA-256 of a picture, and what is in it; the file is held no longer than that."""
        async with self._budget.share(FILE_BYTES_MAX) as share:
            picture = await self._objects.read(key, field, share)
            share.settle()
            try:
                answer = await self._engine.segment(replace(asked, picture=picture))
            except InvalidRequest as error:
                error.field = error.field or field
                raise
            return pictures.content_hash(picture), answer


class _Writes:
    """Threads that write masks; a turn lasts from a mask's pixels until its file is stored."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(WRITES_MAX)
        self.threads = ThreadPoolExecutor(WRITES_MAX, "masks")


class _Masks:
    """Turns the masks of one picture into messages, and writes their files."""

    def __init__(
        self, objects: Objects, writes: _Writes, prefix: str, instance_files: bool
    ) -> None:
        self._objects = objects
        self._writes = writes
        self._prefix = prefix
        self._instance_files = instance_files
        self._left = _RLES_CHARACTERS_MAX
        self._files: list[tuple[str, Runs]] = []

    def concept(self, at: int, found: Found) -> pb.FoundConcept:
        """What a concept names; its files are written by :meth:`written`."""
        message = pb.FoundConcept(
            concept=found.concept,
            asked_as=found.asked_as,
            presence=found.presence,
            left_out=found.left_out,
        )
        message.union.CopyFrom(self._mask(f"{at}.png", found.union, file=True))
        for number, instance in enumerate(found.instances):
            mask = self._mask(f"{at}-{number}.png", instance.mask, file=self._instance_files)
            message.instances.add(mask=mask, score=instance.score)
        return message

    def _mask(self, name: str, runs: Runs, *, file: bool) -> pb.Mask:
        message = pb.Mask(area=runs.area)
        if not runs.area:
            return message
        if len(runs.rle) <= min(_RLE_CHARACTERS_MAX, self._left):
            self._left -= len(runs.rle)
            message.rle = runs.rle
        if file or not message.rle:
            message.object_key = self._prefix + name
            self._files.append((message.object_key, runs))
        message.box.CopyFrom(pb.MaskBox(**runs.box._asdict()))
        return message

    async def written(self) -> None:
        """Returns when every file is written."""

        async def write(key: str, runs: Runs) -> None:
            async with self._writes.turns:
                png = await on_a_thread(self._writes.threads, lambda: to_png(runs.mask()))
                await self._objects.write(key, png, "image/png")

        await together(write(key, runs) for key, runs in self._files)


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
