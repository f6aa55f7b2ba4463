"""A message as the engine's request, with the pictures that it names by key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar

from atelier.inference.v1 import inference_pb2 as pb

from inference.api.budget import Budget, Share
from inference.api.errors import Overloaded
from inference.api.keeping import Keeping, painted
from inference.api.objects import Objects
from inference.api.together import on_a_thread
from inference.engine.errors import InvalidRequest
from inference.engine.material import CONTROLS_MAX, PICTURE_PIXELS_MAX, Control, Lora, Pixels
from inference.engine.pictures.files import FILE_BYTES_MAX
from inference.engine.pictures.reading import read
from inference.engine.request import TIMEOUT_SECONDS_DEFAULT, ImageRequest

# At once: a file has up to 50 MB, and 25 megapixels were measured to take 382 MiB until they are
# made smaller.
READING_MAX, READING_BYTES_MAX = 2, 400 << 20
# Of what is left of the pictures of all calls, held until each call ends: 12 MB each at most, 42 MB
# of one call, usually 4.
PICTURES_BYTES_MAX = 384 << 20
ASKING_MAX = 32  # calls that wait for their share of that, or read
WAIT_SECONDS_MAX = 30.0
_RETRY_SECONDS = 1.0
T = TypeVar("T")
_KINDS = {pb.CONTROL_KIND_CANNY: "canny", pb.CONTROL_KIND_DEPTH: "depth"}
_QUALITIES = {pb.QUALITY_FAST: "fast", pb.QUALITY_STANDARD: "standard", pb.QUALITY_BEST: "best"}


class _Read(NamedTuple):
    pixels: Pixels
    file: bytes


class Asking:
    """Reads what requests name.

    What calls hold is bounded in bytes: each takes as many as its pictures may have before the
    first is read, and gives back what they have when it ends, drawn or not.

    Args:
        objects: The storage.
        keeping: Finds what stays as it is.
        budget: Of the pictures of all calls.
    """

    def __init__(self, objects: Objects, keeping: Keeping, budget: Budget) -> None:
        self._objects = objects
        self._keeping = keeping
        self._budget = budget
        self._threads = ThreadPoolExecutor(READING_MAX, "pictures")
        self._reading = asyncio.Semaphore(READING_MAX)
        self._asking = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def request(self, asked: pb.GenerateImageRequest) -> AsyncIterator[ImageRequest]:
        """Yields what the engine is to draw; its pictures count until the block is left.

        Everything that needs no picture is checked before the first is read.

        Raises:
            InvalidRequest: A field is not valid, or a file is no picture.
            InvalidArgument: A key is none, or its object is too large.
            NotFound: An object is not there.
            Unavailable: The storage cannot be reached.
            Overloaded: The pictures of too many calls are held already.
            EngineError: As the segmenter says, where something is to be kept.
        """
        words = _words(asked)
        words.check()
        if len(asked.controls) > CONTROLS_MAX:
            raise InvalidRequest(f"controls: {CONTROLS_MAX} at most", field="controls")
        for number, control in enumerate(asked.controls):
            if control.kind not in _KINDS:
                field = f"controls[{number}].kind"
                raise InvalidRequest(f"{field}: must be canny or depth", field=field)
        if asked.kept_concepts:
            self._keeping.check(asked)
        async with AsyncExitStack() as call:
            if asked.image_key or asked.mask_key or asked.controls:
                words = await self._filled(words, asked, call)
            yield words

    async def _filled(
        self, words: ImageRequest, asked: pb.GenerateImageRequest, call: AsyncExitStack
    ) -> ImageRequest:
        """The request with its pictures, which have a share of the budget until the call ends."""
        if self._asking >= ASKING_MAX:
            raise Overloaded("too many pictures wait", retry_after_seconds=_RETRY_SECONDS)
        self._asking += 1
        try:
            share = await self._share(asked, call)
            made = replace(words, **await self._material(asked))
        finally:
            self._asking -= 1
        made.check()
        share.count(made.picture_bytes, "image_key")
        share.settle()
        return made

    async def _share(self, asked: pb.GenerateImageRequest, call: AsyncExitStack) -> Share:
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                return await call.enter_async_context(self._budget.share(_bytes_max(asked)))
        except TimeoutError as error:
            message = "the pictures of others are held for too long"
            raise Overloaded(message, retry_after_seconds=_RETRY_SECONDS) from error

    async def _material(self, asked: pb.GenerateImageRequest) -> dict[str, Any]:
        """The fields of a request that are pictures, read one after another."""
        controls = []
        for number, control in enumerate(asked.controls):
            field = f"controls[{number}].image_key"
            drawing = (await self._picture(control.image_key, field)).pixels
            controls.append(_control(control, drawing))
        made: dict[str, Any] = {"controls": tuple(controls)}
        if asked.mask_key:
            made["mask"] = (await self._picture(asked.mask_key, "mask_key", grey=True)).pixels
        if asked.image_key:
            made["image"], file = await self._picture(asked.image_key, "image_key")
            if asked.kept_concepts:
                found = await self._keeping.found(file, asked.kept_concepts)
                async with self._reading:
                    made["mask"] = await self._beside(partial(painted, found, made["image"]))
        return made

    async def _picture(self, key: str, field: str, grey: bool = False) -> _Read:
        async with self._reading:
            file = await self._objects.read(key, field)
            try:
                return _Read(await self._beside(partial(read, file, grey)), file)
            except InvalidRequest as error:
                raise InvalidRequest(f"{field}: {error}", field=field) from error

    async def _beside(self, work: Callable[[], T]) -> T:
        """Does work on a thread; whoever gives it up waits until the thread is done with it."""
        return await on_a_thread(self._threads, work)


def _bytes_max(asked: pb.GenerateImageRequest) -> int:
    """How much memory the pictures of a call may take; where a product is kept, the file too."""
    masks = int(bool(asked.mask_key or asked.kept_concepts))
    bands = 3 * (bool(asked.image_key) + len(asked.controls)) + masks
    return bands * PICTURE_PIXELS_MAX + (FILE_BYTES_MAX if asked.kept_concepts else 0)


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
