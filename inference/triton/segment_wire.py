"""How segmentation travels through Triton, written and read in one place.

In go a string ``request`` (JSON) and ``picture`` (the file's bytes); out comes one string
``answer`` (JSON) with masks as COCO's compressed runs. Errors travel as in :mod:`.wire`.
"""

from __future__ import annotations

import json
from typing import Any

from inference.engine.errors import InvalidRequest
from inference.engine.pictures.masks import from_rle, to_rle
from inference.engine.segmentation.request import Found, Instance, Segmentation, SegmentRequest

MODEL = "segment"
PING = b""  # answered at once, as long as the engine lives
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
    height, width = said["height"], said["width"]
    found = tuple(
        Found(
            each["concept"],
            each["asked_as"],
            each["presence"],
            from_rle(each["union"], height, width),
            tuple(
                Instance(from_rle(one["rle"], height, width), one["score"])
                for one in each["instances"]
            ),
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
        "union": to_rle(found.union),
        "instances": [
            {"rle": to_rle(instance.mask), "score": instance.score} for instance in found.instances
        ],
    }
