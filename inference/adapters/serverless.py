"""The engine as a handler of RunPod's serverless workers; see docs/serverless.md.

``python -m inference.adapters.serverless --test_input '{"input": {"prompt": "a red mug"}}'`` runs
one job here: by the SDK's test mode where the package ``runpod`` is installed, else by our own,
which prints progress and result, a line of JSON each. Without a job the SDK is needed, and takes
jobs from the platform's queue. Imports torch.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import fields
from typing import Any

from inference.adapters.in_process import InProcess
from inference.engine.errors import EngineError, InvalidRequest, ModelFailed
from inference.engine.material import Control, Lora, Pixels
from inference.engine.opening import Options
from inference.engine.pictures import files as pictures
from inference.engine.pictures.reading import read
from inference.engine.request import ImageRequest, Picture, Progress

JOBS_MAX = 8  # at once on one worker: they share the engine's steps
_FIELDS = {field.name for field in fields(ImageRequest)}
_PICTURES = ("image", "mask")

Output = dict[str, Any]
Tell = Callable[[Mapping[str, Any], Output], None]


class Handler:
    """Draws what jobs ask for; as many at once as the platform gives it.

    Args:
        engine: Opened or opening.
        tell: Is told of a job's progress after each step.
    """

    def __init__(self, engine: InProcess, tell: Tell) -> None:
        self._engine = engine
        self._tell = tell

    async def handle(self, job: Mapping[str, Any]) -> Output:
        """Handles one job; giving it up stops the sampler at its next step.

        Args:
            job: ``input`` holds the fields of :class:`ImageRequest`; ``image``, ``mask`` and the
                ``image`` of ``controls`` are picture files in base64.

        Returns:
            ``image``; or ``error``, by which the platform knows a failed job, with ``reason``,
            ``field`` and ``retry_after_seconds``.
        """
        try:
            return _image(await self._draw(job))
        except EngineError as error:
            return {
                "error": f"{error.reason}: {error}",
                "reason": error.reason,
                "field": error.field,
                "retry_after_seconds": error.retry_after_seconds,
            }

    async def _draw(self, job: Mapping[str, Any]) -> Picture:
        request = _request(job.get("input"))
        await self._engine.opened()
        async with aclosing(self._engine.sample(request)) as events:
            async for event in events:
                if isinstance(event, Picture):
                    return event
                self._tell(job, _progress(event))
        raise ModelFailed("the engine said nothing")


def _request(said: Any) -> ImageRequest:
    if not isinstance(said, dict) or not said.keys() <= _FIELDS:
        names = ", ".join(sorted(_FIELDS))
        raise InvalidRequest(f"input: must be an object of {names}", field="input")
    try:
        pixels = {name: _pixels(said[name], name) for name in _PICTURES if said.get(name)}
        controls = tuple(
            Control(**each | {"image": _pixels(each["image"], "controls.image")})
            for each in said.get("controls", ())
        )
        loras = tuple(Lora(**each) for each in said.get("loras", ()))
        request = ImageRequest(**said | pixels | {"controls": controls, "loras": loras})
        request.check()
    except (TypeError, KeyError, AttributeError) as error:
        raise InvalidRequest(f"input: {error}", field="input") from error
    return request


def _pixels(said: str, field: str) -> Pixels:
    try:
        return read(base64.b64decode(said, validate=True), grey=field == "mask")
    except (binascii.Error, InvalidRequest) as error:
        raise InvalidRequest(f"{field}: {error}", field=field) from error


def _progress(progress: Progress) -> Output:
    preview = base64.b64encode(progress.preview).decode()
    return {"progress": {"step": progress.step, "steps": progress.steps, "preview": preview}}


def _image(picture: Picture) -> Output:
    png = pictures.encode_png(picture.pixels)
    height, width = picture.pixels.shape[:2]
    return {
        "image": {
            "png": base64.b64encode(png).decode(),
            "sha256": hashlib.sha256(png).hexdigest(),
            "width": width,
            "height": height,
            "model": picture.model,
            "seed": picture.seed,
            "steps": picture.steps,
            "guidance_scale": picture.guidance_scale,
            "seconds": picture.seconds,
            "safety": vars(picture.verdict),
        }
    }


async def _try_out(engine: InProcess, job: Mapping[str, Any]) -> int:
    """Runs one job; the exit status says how it ended, as with the SDK."""

    def tell(_: Mapping[str, Any], progress: Output) -> None:
        print(json.dumps(progress), flush=True)

    async with engine:
        output = await Handler(engine, tell).handle(job)
    print(json.dumps(output), flush=True)
    return int("error" in output)


def main(arguments: Sequence[str]) -> int:
    """Runs the worker, or one job; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test_input", help='a job as JSON, {"input": {...}}')
    asked = parser.parse_known_args(arguments)[0]
    engine = InProcess(Options.of(os.environ))
    if importlib.util.find_spec("runpod") is not None:
        return _serve(engine, trying=bool(asked.test_input))
    if asked.test_input:
        return asyncio.run(_try_out(engine, json.loads(asked.test_input)))
    print("the package runpod is not installed; --test_input runs a job here", file=sys.stderr)
    return 2


def _serve(engine: InProcess, trying: bool) -> int:
    """Has the SDK run jobs, until it ends."""
    runpod = importlib.import_module("runpod")

    def tell(job: Mapping[str, Any], progress: Output) -> None:
        if not trying:  # then there is nobody to tell
            runpod.serverless.progress_update(job, progress)

    engine.start()
    try:
        runpod.serverless.start(
            {
                "handler": Handler(engine, tell).handle,
                "concurrency_modifier": lambda _: JOBS_MAX,
            }
        )
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
