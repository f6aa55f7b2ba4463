"""How segmentation travels through Triton, written and read in one place.

In go a string ``request`` (JSON) and ``picture`` (the file's bytes); out comes one string
``answer`` (JSON) with masks as the engine holds them, as COCO's compressed runs. Errors travel as
in :mod:`.wire`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from inference.engine.errors import InvalidRequest
from inference.engine.pictures.masks import Box, Runs
from inference.engine.segmentation.request import Found, Instance, Segmentation, SegmentRequest

MODEL = "segment"
PING = b""  # answered at once with the segmenters' states, as long as the engine lives
REQUEST, PICTURE, ANSWER = "request", "picture", "answer"
_FIELDS = ("concepts", "model", "score_min", "mask_threshold", "timeout_seconds")


def encode_request(request: SegmentRequest) -> bytes:
    """Writes a request; its picture travels beside it."""
    return json.dumps({name: getattr(request, name) for name in _FIELDS}).encode()


def decode_request(raw: bytes, picture: bytes) -> SegmentRequest:
    """Reads a request.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        said: dict[str, Any] = json.loads(raw)
        return SegmentRequest(picture, tuple(said.pop("concepts")), **said)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequest(f"not a request: {error}") from error


def encode_answer(segmentation: Segmentation) -> bytes:
    """Writes an answer."""
    said = {name: getattr(segmentation, name) for name in _SCALARS}
    return json.dumps(said | {"found": [_found(each) for each in segmentation.found]}).encode()


def decode_answer(raw: bytes) -> Segmentation:
    """Reads an answer."""
    said: dict[str, Any] = json.loads(raw)
    found = tuple(
        Found(
            each["concept"],
            each["asked_as"],
            each["presence"],
            _runs(each["union"]),
            tuple(Instance(_runs(one["mask"]), one["score"]) for one in each["instances"]),
            each["left_out"],
        )
        for each in said["found"]
    )
    return Segmentation(found=found, **{name: said[name] for name in _SCALARS})


_SCALARS = ("model", "height", "width", "was_known", "seconds")


def _found(found: Found) -> dict[str, Any]:
    return {
        "concept": found.concept,
        "asked_as": found.asked_as,
        "presence": found.presence,
        "union": asdict(found.union),
        "instances": [asdict(instance) for instance in found.instances],
        "left_out": found.left_out,
    }


def _runs(said: dict[str, Any]) -> Runs:
    return Runs(**said | {"box": Box(*said["box"])})
