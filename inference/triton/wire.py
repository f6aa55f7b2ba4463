"""How requests, events and errors travel through Triton, written and read in one place.

In goes one string ``request`` (JSON); out comes a string ``event`` (JSON) and, with the last one,
``image`` (uint8, height x width x 3). Errors are a Triton error whose message is JSON after a mark.
Standard library only.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from typing import Any

from inference.engine.errors import ERRORS, EngineError
from inference.engine.request import ImageRequest, Picture, Progress

MODEL = "generate"
PING = b""  # answered at once with any event, as long as the engine lives
REQUEST, EVENT, IMAGE = "request", "event", "image"
_ERROR_MARK = "atelier-error:"


def encode_request(request: ImageRequest) -> bytes:
    """Writes a request."""
    return json.dumps(asdict(request)).encode()


def decode_request(raw: bytes) -> ImageRequest:
    """Reads a request."""
    return ImageRequest(**json.loads(raw))


def encode_progress(progress: Progress) -> bytes:
    """Writes progress."""
    preview = base64.b64encode(progress.preview).decode()
    return json.dumps({"step": progress.step, "steps": progress.steps, "preview": preview}).encode()


@dataclass(frozen=True)
class Result:
    """What an event says of a picture; its pixels travel beside it."""

    model: str
    seed: int
    steps: int
    guidance_scale: float
    seconds: float


def encode_result(picture: Picture) -> bytes:
    """Writes the last event; the pixels travel beside it."""
    result = Result(
        picture.model, picture.seed, picture.steps, picture.guidance_scale, picture.seconds
    )
    return json.dumps({"result": asdict(result)}).encode()


def decode_event(raw: bytes) -> Progress | Result:
    """Reads an event."""
    said: dict[str, Any] = json.loads(raw)
    if "result" in said:
        return Result(**said["result"])
    return Progress(said["step"], said["steps"], base64.b64decode(said["preview"]))


def encode_error(error: EngineError) -> str:
    """Writes an error as the message of a Triton error."""
    body = {"reason": error.reason, "message": str(error), "field": error.field}
    return _ERROR_MARK + json.dumps(body | {"retry_after_seconds": error.retry_after_seconds})


def decode_error(message: str) -> EngineError | None:
    """Reads the message of a Triton error; None: it is Triton's own."""
    _, mark, body = message.partition(_ERROR_MARK)
    if not mark:
        return None
    said = json.loads(body)
    kind = ERRORS[said["reason"]]
    return kind(
        said["message"], field=said["field"], retry_after_seconds=said["retry_after_seconds"]
    )
