"""How requests, events and errors travel through Triton, written and read in one place.

In go strings ``request``: JSON and, where it names any, the bytes of pictures. Out comes a string
``event`` (JSON) and, with the last one, ``image`` (uint8, height x width x 3). Errors are a Triton
error whose message is JSON after a mark. Standard library only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.engine.errors import ERRORS, EngineError
from inference.engine.material import Control, Lora, Pixels
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.safety.port import Verdict
from inference.engine.status import ModelStatus

MODEL = "generate"
PING = b""  # answered at once with the models' states, as long as the engine lives
REQUEST, EVENT, IMAGE = "request", "event", "image"
_ERROR_MARK = "atelier-error:"


def encode_request(request: ImageRequest) -> list[bytes]:
    """Writes a request: JSON in which numbers stand for the bytes that follow it."""
    blobs: list[bytes] = []

    def keep(data: bytes) -> int:
        blobs.append(data)
        return len(blobs)

    return [json.dumps(asdict(request), default=keep).encode(), *blobs]


def decode_request(parts: Sequence[bytes]) -> ImageRequest:
    """Reads a request.

    Raises:
        ValueError, TypeError, KeyError, IndexError: It is none.
    """
    said: dict[str, Any] = json.loads(parts[0])
    return ImageRequest(
        **said
        | {
            "image": _pixels(said["image"], parts),
            "mask": _pixels(said["mask"], parts),
            "controls": tuple(
                Control(**each | {"image": _pixels(each["image"], parts)})
                for each in said["controls"]
            ),
            "loras": tuple(Lora(**each) for each in said["loras"]),
        }
    )


def _pixels(said: dict[str, Any] | None, parts: Sequence[bytes]) -> Pixels | None:
    return Pixels(**said | {"data": bytes(parts[said["data"]])}) if said else None


def encode_statuses(statuses: Mapping[str, ModelStatus]) -> bytes:
    """Writes the answer to a ping."""
    return json.dumps({name: asdict(one) for name, one in statuses.items()}).encode()


def decode_statuses(raw: bytes) -> dict[str, ModelStatus]:
    """Reads the answer to a ping."""
    return {name: ModelStatus(**one) for name, one in json.loads(raw).items()}


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
    verdict: Verdict


def encode_result(picture: Picture) -> bytes:
    """Writes the last event; the pixels travel beside it."""
    result = Result(
        picture.model,
        picture.seed,
        picture.steps,
        picture.guidance_scale,
        picture.seconds,
        picture.verdict,
    )
    return json.dumps({"result": asdict(result)}).encode()


def decode_event(raw: bytes) -> Progress | Result:
    """Reads an event."""
    said: dict[str, Any] = json.loads(raw)
    if "result" in said:
        verdict = said["result"]["verdict"]
        flags = tuple(verdict["flags"])
        return Result(**said["result"] | {"verdict": Verdict(**verdict | {"flags": flags})})
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
