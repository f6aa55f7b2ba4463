"""Behind a safety check, wherever the engine runs; and a Triton whose engine hangs within.

Triton has a model repository of its own here: the model as it is, but that a test can have its
denoiser hang (``hanging/model.py``).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.local import stack, triton
from deploy.local.layout import ROOT, environment_bin
from kit.rpc.client import open_channel
from tests.grounds import ground
from tests.integration.inference.adapters import Adapter, Served, Serverless
from tests.integration.inference.test_engine_faults import RECOVERY_SECONDS, lives
from tests.integration.inference.test_supervision import another
from tests.integration.inference.unit import Unit
from tests.integration.inference.worker import open_worker
from tests.studio import eventually

SIDE = 64
DARK, BRIGHT = (np.full((SIDE, SIDE, 3), level, np.uint8) for level in (5, 250))
HALF = np.hstack([BRIGHT[:, : SIDE // 2], DARK[:, SIDE // 2 :]])
KEPT = np.zeros((SIDE, SIDE), np.uint8)  # all of a picture, so that the check sees the picture


@pytest.fixture(scope="module")
async def settings(unit: Unit) -> dict[str, str]:
    """Of an engine behind the check that allows, refuses or fails by what it sees."""
    folder = unit.layout.data / "check"
    python = str(environment_bin(".venv-models") / "python")
    saving = await asyncio.create_subprocess_exec(
        python, "-m", "tests.unit.inference.safety_checks", str(folder), cwd=ROOT
    )
    assert await saving.wait() == 0
    return {"ATELIER_SAFETY": "local", "ATELIER_SAFETY_DIR": str(folder)}


@pytest.fixture(scope="module")
async def hanging(unit: Unit, settings: dict[str, str]) -> AsyncIterator[Unit]:
    """Another Triton and inference before it; they share the unit's storage."""
    async with ground("hanging") as (places, supervisor):
        models, repository = places.data / "models", places.data / "repository"
        for name in ("sdxl", "hung"):
            shutil.copytree(unit.layout.data / "models" / "sdxl", models / name)
        shutil.copytree(ROOT / "inference" / "models", repository)
        own = repository / "generate" / "1" / "model.py"
        shutil.copy(Path(__file__).parent / "hanging" / "model.py", own)
        told = settings | {
            "TEST_PIPE": str(places.data / "pipe"),
            "TEST_MODEL": str(ROOT / "inference" / "models" / "generate" / "1" / "model.py"),
        }
        part = triton.part(places, models, overrides=told)
        command = [
            f"--model-repository={repository}" if each.startswith("--model-repository") else each
            for each in part.command
        ]
        environment = stack.service_environment(unit.layout, "inference") | {
            "ATELIER_LISTEN": places.socket("inference"),
            "ATELIER_METRICS_LISTEN": "",
            "ATELIER_TRITON_GRPC": places.address("triton_grpc"),
        }
        inference = triton.inference_part(places, environment, models)
        await supervisor.start([replace(part, command=command), inference])
        async with open_channel(places.socket("inference")) as channel:
            signed = replace(unit.channel, channel=channel)
            yield replace(unit, layout=places, supervisor=supervisor, channel=signed)


@asynccontextmanager
async def _checked_alone(unit: Unit, settings: dict[str, str]) -> AsyncIterator[Adapter]:
    part = another(unit, "checked-alone", ATELIER_TRITON_GRPC="", **settings)
    await unit.supervisor.start([part])
    async with open_channel(unit.layout.socket(part.name)) as channel:
        yield Served(replace(unit, channel=replace(unit.channel, channel=channel)))
    await unit.supervisor.stop(part.name)


@pytest.fixture(params=["triton", "in process", "serverless"])
async def checked(
    request: pytest.FixtureRequest, unit: Unit, settings: dict[str, str], hanging: Unit
) -> AsyncIterator[Adapter]:
    async with AsyncExitStack() as opened:
        if request.param == "triton":
            yield Served(hanging)
        elif request.param == "in process":
            yield await opened.enter_async_context(_checked_alone(unit, settings))
        else:
            worker = open_worker(unit.layout, **settings)
            yield Serverless(await opened.enter_async_context(worker))


async def test_a_picture_is_allowed_refused_or_without_a_verdict_everywhere(
    checked: Adapter,
) -> None:
    asked = {"prompt": "a red mug", "mask": KEPT, "aspect": "1:1", "steps": 1}
    _, picture = await checked.draw(asked | {"image": DARK})
    assert np.array_equal(picture, DARK)
    for image, reason in ((HALF, "CONTENT_FILTERED"), (BRIGHT, "CHECK_FAILED")):
        refused = await checked.refused(asked | {"image": image})
        assert (refused.reason, refused.field) == (reason, "")


async def _given_up(unit: Unit, pipe: Path, **asked: str) -> None:
    """A call hangs where it reads from a pipe, is told so, and its process is replaced."""
    (before,) = filter(lives, unit.model_processes)
    call = asyncio.create_task(unit.refused(**asked))
    writing = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)  # somebody has come to read
    pipe.unlink()
    try:
        refusal = await asyncio.wait_for(call, RECOVERY_SECONDS)
        assert refusal.failure.reason == "MODEL_FAILED"

        async def replaced() -> bool:
            return not lives(before) and await unit.serving()

        await eventually(replaced, RECOVERY_SECONDS)
    finally:
        os.close(writing)


async def test_a_step_that_hangs_is_given_up_and_another_process_goes_on(hanging: Unit) -> None:
    pipe = hanging.layout.data / "pipe"
    os.mkfifo(pipe)
    await _given_up(hanging, pipe)
    image = await hanging.keep(DARK)
    await hanging.draw(image_key=image, mask_key=await hanging.keep(KEPT), steps=1)


async def test_a_load_that_hangs_is_given_up_and_succeeds_in_another_process(
    hanging: Unit,
) -> None:
    pipe = hanging.layout.data / "models" / "hung" / "atelier.json"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    await _given_up(hanging, pipe, model="hung")
    image = await hanging.keep(DARK)
    mask = await hanging.keep(KEPT)
    await hanging.draw(model="hung", image_key=image, mask_key=mask, steps=1)
