"""ApplyRules: a picture, masks and a rule in, the changed picture and a proof out."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self

import cv2
from atelier.inference.v1 import inference_pb2 as pb
from google.protobuf import json_format

from inference.api.budget import Budget, Share
from inference.api.errors import Overloaded, refusal
from inference.api.objects import Objects, written_key
from inference.api.together import on_a_thread, together
from inference.engine.errors import EngineError
from inference.engine.pictures.files import FILE_BYTES_MAX, PIXELS_MAX, pixels_said
from inference.engine.rules.document import (
    CHANGES_MAX,
    PROTECTED_MAX,
    Document,
    InvalidRule,
    parse,
)
from inference.engine.rules.files import JPEG_QUALITY, Files, MaskFile, Result, apply_to_file
from kit.blobs import Stored
from kit.cores import cores
from kit.errors import FieldViolation, InvalidArgument

LINE_MAX = 16  # calls that wait or are worked on
MASKS_MAX, MASKS_TOTAL_MAX = 64, 256  # of one concept, of one call
CALL_BYTES_MAX = 256 << 20  # of the files of one call
# While a rule is applied: measured 42 bytes for each pixel of the picture at most (a blur), and as
# many of another picture as it takes to read it.
WORKING_BYTES_MAX = 1 << 30
_PICTURE_BYTES, _IMAGE_BYTES = 42, 12
_RETRY_SECONDS = 1.0
_JPEG_QUALITY_MAX = 95


class Rules:
    """Applies rules on threads of their own; pictures are numbers, and numbers need no model.

    What calls hold is bounded in bytes: files by a budget that is taken before they are read, and
    pixels by another that is taken before they are unpacked. Calls wait for both in their order.

    Args:
        objects: Where pictures and masks lie.
        budget: Of the files of all calls.
        threads: How many rules are applied at once; 0: on half the cores.
    """

    def __init__(self, objects: Objects, budget: Budget, threads: int = 0) -> None:
        self._objects = objects
        self._budget = budget
        self._working = Budget(WORKING_BYTES_MAX)
        self._threads = ThreadPoolExecutor(
            threads or max(1, cores() // 2),
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
        files_max = _files_max(request)
        if self._line >= LINE_MAX:
            raise Overloaded("too many rules wait", retry_after_seconds=_RETRY_SECONDS)
        self._line += 1
        try:
            async with self._budget.share(min(files_max * FILE_BYTES_MAX, CALL_BYTES_MAX)) as share:
                files = await self._files(request, share)
                share.settle()
                working = self._working.share(await asyncio.to_thread(_working_bytes, files))
                async with working:
                    result = await self._applied(files, document, quality)
                    return await self._written(request, result, result_key)
        except EngineError as error:
            raise refusal(error) from error
        finally:
            self._line -= 1

    async def _files(self, request: pb.ApplyRulesRequest, share: Share) -> Files:
        async def read(key: str, field: str) -> bytes:
            return await self._objects.read(key, field, share)

        async def masks(at: int, each: pb.ConceptMasks) -> list[MaskFile]:
            files: list[MaskFile] = []
            for number, mask in enumerate(each.masks):
                if mask.rle:
                    files.append(mask.rle)
                elif mask.object_key:
                    field = f"masks[{at}].masks[{number}].object_key"
                    files.append(await read(mask.object_key, field))
            return files

        given = await together(masks(at, each) for at, each in enumerate(request.masks))
        keys = [("image_key", request.image_key)]
        keys += [
            (f"images[{at}].object_key", each.object_key) for at, each in enumerate(request.images)
        ]
        picture, *images = await together(read(key, field) for field, key in keys)
        return Files(
            picture,
            {each.concept: files for each, files in zip(request.masks, given, strict=True)},
            {each.name: image for each, image in zip(request.images, images, strict=True)},
        )

    async def _applied(self, files: Files, document: Document, quality: int) -> Result:
        stopped = threading.Event()
        work = partial(apply_to_file, files, document, quality, stopped.is_set)
        return await on_a_thread(self._threads, work, stopped)

    async def _written(
        self, request: pb.ApplyRulesRequest, result: Result, key: str
    ) -> pb.ApplyRulesResponse:
        stored = await self._objects.write(key, result.png, "image/png")
        jpeg = None
        if result.jpeg:
            jpeg = await self._objects.write(request.jpeg_key, result.jpeg, "image/jpeg")
        return _response(result, stored, jpeg)


def _files_max(request: pb.ApplyRulesRequest) -> int:
    """How many files a call will read.

    Raises:
        InvalidArgument: It has too many masks.
    """
    for at, each in enumerate(request.masks):
        if len(each.masks) > MASKS_MAX:
            raise InvalidArgument.of(f"masks[{at}].masks", f"must be {MASKS_MAX} at most")
    masks = [mask for each in request.masks for mask in each.masks]
    if len(masks) > MASKS_TOTAL_MAX:
        raise InvalidArgument.of("masks", f"must be {MASKS_TOTAL_MAX} at most in all")
    return 1 + len(request.images) + sum(not mask.rle for mask in masks)


def _working_bytes(files: Files) -> int:
    """How much memory applying a rule to files will take; a file that is too large is refused."""
    picture = min(pixels_said(files.picture), PIXELS_MAX)
    others = max(map(pixels_said, files.images.values()), default=0)
    return _PICTURE_BYTES * picture + _IMAGE_BYTES * min(others, PIXELS_MAX)


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
