"""The serverless worker as its page tells to start it, with and without the platform's SDK."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin
from tests.integration.inference.unit import Unit
from tests.integration.inference.worker import environment

STAND_IN = Path(__file__).parent / "sdk_stand_in"
SDK = os.environ.get("ATELIER_RUNPOD_SDK", "")
PAGE = ROOT / "docs" / "serverless.md"


async def run(command: list[str], told: dict[str, str]) -> tuple[int, list[str], str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=told,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, log = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode().splitlines(), log.decode()


async def try_out(unit: Unit, said: dict[str, Any], **more: str) -> tuple[int, list[str], str]:
    python = str(environment_bin(".venv-models") / "python")
    command = [python, "-m", "inference.adapters.serverless"]
    job = ["--test_input", json.dumps({"input": said})] if said else []
    told = environment(unit.layout, unit.layout.data / "models") | more
    return await run([*command, *job], told)


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.M | re.S)


@pytest.mark.parametrize("number", range(len(blocks())))
async def test_what_the_page_shows_runs_a_job_and_prints_json(number: int) -> None:
    told = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    status, lines, log = await run(["bash", "-euo", "pipefail", "-c", blocks()[number]], told)
    assert status == 0, log
    *progress, last = map(json.loads, lines)
    assert last.keys() & {"image", "segmentation", "result"}
    if "image" in last:
        assert [said["progress"]["step"] for said in progress] == [1, 2, 3, 4]


async def test_an_engine_that_cannot_be_made_is_none_that_is_loading(unit: Unit) -> None:
    misspelt, idle = await asyncio.gather(
        try_out(unit, {"prompt": "a mug"}, ATELIER_SAFETY="locale"), try_out(unit, {})
    )
    status, lines, _ = misspelt
    assert (status, json.loads(lines[-1])["reason"]) == (1, "MODEL_FAILED")
    assert "could not be made" in lines[-1]
    status, lines, log = idle
    assert (status, lines) == (2, [])
    assert "--test_input" in log


@pytest.mark.parametrize(
    "sdk",
    [
        STAND_IN,
        pytest.param(SDK, marks=pytest.mark.skipif(not SDK, reason="ATELIER_RUNPOD_SDK is unset")),
    ],
    ids=["stand-in", "real"],
)
async def test_with_the_sdk_its_own_test_mode_runs_the_job(unit: Unit, sdk: Path | str) -> None:
    path = f"{ROOT}:{sdk}"
    drawn, refused = await asyncio.gather(
        try_out(unit, {"prompt": "a mug", "steps": 2}, PYTHONPATH=path),
        try_out(unit, {"prompt": "a mug", "steps": 2.5}, PYTHONPATH=path),
    )
    status, lines, log = drawn
    assert status == 0, log
    assert "Job result: {'output': {'image': {'png': " in "\n".join(lines)
    status, lines, _ = refused
    assert status == 1
    assert "failed with error: INVALID_ARGUMENT: steps: must be a whole number" in lines[-1]


async def test_without_its_settings_it_says_which(unit: Unit) -> None:
    status, _, log = await try_out(unit, {"prompt": "a mug"}, ATELIER_DEFAULT_MODEL="")
    assert (status, log.splitlines()[-1]) == (2, "ATELIER_DEFAULT_MODEL must be set")
