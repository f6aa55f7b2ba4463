"""ApplyRules: a picture, masks and a rule in, the changed picture and a proof out."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self

import cv2
from atelier.inference.v1 import inference_pb2 as pb
from google.protobuf import json_format

from inference.api.errors import Overloaded, refusal
from inference.api.objects import Objects, written_key
from inference.api.together import together
from inference.engine.errors import EngineError
from inference.engine.rules.document import (
    CHANGES_MAX,
    PROTECTED_MAX,
    Document,
    InvalidRule,
    parse,
)
from inference.engine.rules.files import JPEG_QUALITY, MaskFile, Result, apply_to_file
from kit.blobs import Stored
from kit.errors import FieldViolation, InvalidArgument

LINE_MAX = 16  # calls that wait or are worked on: their files are held meanwhile
MASKS_MAX = 64  # of one concept
_RETRY_SECONDS = 1.0
_JPEG_QUALITY_MAX = 95


class Rules:
    """Applies rules on threads of their own; pictures are numbers, and numbers need no model.

    Args:
        objects: Where pictures and masks lie.
        threads: How many rules are applied at once; 0: on half the cores.
    """

    def __init__(self, objects: Objects, threads: int = 0) -> None:
        self._objects = objects
        self._threads = ThreadPoolExecutor(
            threads or max(1, (os.cpu_count() or 1) // 2),
            "rules",
            # Each rule has one thread: more of them would wait for each other.
            initializer=partial(cv2.setNumThreads, 1),
        )
        self._line = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def apply(self, request: pb.ApplyRulesRequest) -> pb.ApplyRulesResponse:
        """Applies one rule to one picture.

        Raises:
            DomainError: As the proto says.
        """
        document = _document(request)
        result_key = written_key(request.result_key, ".png", "result_key")
        if request.jpeg_key:
            written_key(request.jpeg_key, ".jpg", "jpeg_key")
        quality = _quality(request)
        if self._line >= LINE_MAX:
            raise Overloaded("too many rules wait", retry_after_seconds=_RETRY_SECONDS)
        self._line += 1
        try:
            result = await self._applied(request, document, quality)
        except EngineError as error:
            raise refusal(error) from error
        finally:
            self._line -= 1
        stored = await self._objects.write(result_key, result.png, "image/png")
        jpeg = None
        if result.jpeg:
            jpeg = await self._objects.write(request.jpeg_key, result.jpeg, "image/jpeg")
        return _response(result, stored, jpeg)

    async def _applied(
        self, request: pb.ApplyRulesRequest, document: Document, quality: int
    ) -> Result:
        read = self._objects.read
        given = await together(self._masks(at, each.masks) for at, each in enumerate(request.masks))
        keys = [("image_key", request.image_key)]
        keys += [
            (f"images[{at}].object_key", each.object_key) for at, each in enumerate(request.images)
        ]
        picture, *images = await together(read(key, field) for field, key in keys)
        stopped = threading.Event()
        work = partial(
            apply_to_file,
            picture,
            document,
            {each.concept: files for each, files in zip(request.masks, given, strict=True)},
            {each.name: image for each, image in zip(request.images, images, strict=True)},
            quality,
            stopped.is_set,
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            stopped.set()

    async def _masks(self, at: int, masks: Sequence[pb.Mask]) -> list[MaskFile]:
        if len(masks) > MASKS_MAX:
            raise InvalidArgument.of(f"masks[{at}].masks", f"must be {MASKS_MAX} at most")
        files: list[MaskFile] = []
        for number, mask in enumerate(masks):
            field = f"masks[{at}].masks[{number}]"
            if mask.rle:
                files.append(mask.rle)
            elif mask.object_key:
                files.append(await self._objects.read(mask.object_key, f"{field}.object_key"))
        return files


def _document(request: pb.ApplyRulesRequest) -> Document:
    concepts_max = CHANGES_MAX + PROTECTED_MAX
    for field, most in (("masks", concepts_max), ("images", CHANGES_MAX)):
        if len(getattr(request, field)) > most:
            raise InvalidArgument.of(field, f"must be {most} at most")
    try:
        return parse(json_format.MessageToDict(request.rule))
    except InvalidRule as error:
        violations = tuple(
            FieldViolation(path if path == "rule" else f"rule.{path}", message)
            for path, message in error.faults
        )
        raise InvalidArgument(str(error), violations=violations) from error


def _quality(request: pb.ApplyRulesRequest) -> int:
    """The quality of the JPEG; 0: none was asked for."""
    if not 0 <= request.jpeg_quality <= _JPEG_QUALITY_MAX:
        raise InvalidArgument.of("jpeg_quality", f"must be 1 to {_JPEG_QUALITY_MAX}")
    return (request.jpeg_quality or JPEG_QUALITY) if request.jpeg_key else 0


def _response(result: Result, stored: Stored, jpeg: Stored | None) -> pb.ApplyRulesResponse:
    largest = result.proof.largest_delta_e
    return pb.ApplyRulesResponse(
        result=_file(stored),
        jpeg=_file(jpeg) if jpeg else None,
        width=result.width,
        height=result.height,
        has_alpha=result.has_alpha,
        changed_pixels=result.changed_pixels,
        proof=pb.ProtectionProof(
            protected_pixels=result.proof.protected_pixels,
            changed_pixels=result.proof.changed_pixels,
            result_delta_e=largest.get("png", 0),
            jpeg_delta_e=largest.get("jpeg", 0) if jpeg else None,
        ),
    )


def _file(stored: Stored) -> pb.StoredFile:
    return pb.StoredFile(object_key=stored.key, sha256=stored.sha256, size_bytes=stored.size_bytes)
