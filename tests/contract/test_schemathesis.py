"""Schemathesis against the running stack, as a member: what it is told is all that happens."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.doors import gateway_with
from tests.acceptance.test_keys import make_key
from tests.conftest import Installation
from tests.contract import schemathesis_ground
from tests.studio import Member, Studio

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "openapi.json"
CONFIG = Path(__file__).parent / "schemathesis.toml"
# The same calls every time, or in a deep run other ones for as long as it says.
SECONDS = int(os.environ.get("DEEP_SECONDS") or 30)
SEED = os.environ.get("DEEP_SEED") or (
    str(random.randrange(2**32)) if "DEEP_SECONDS" in os.environ else "20260131"
)
# However slow the machine is, the first phase is gone through: it has every operation.
PHASES = (
    ("--phases", "examples"),
    ("--phases", "coverage,fuzzing,stateful", "--max-time", str(SECONDS)),
)
# What no member is answered well for, and why.
NEVER_2XX = {"POST /v1/admin/credits/grants": "a member is no administrator"}


@pytest.mark.timeout(SECONDS + 1_000)
async def test_nothing_is_answered_that_the_document_does_not_say(
    studio: Studio, member: Member, installation: Installation, tmp_path: Path
) -> None:
    known = await schemathesis_ground.prepare(studio, member)
    async with gateway_with(
        installation,
        ATELIER_RATE_MEMBER="off",
        ATELIER_RATE_GUEST="off",
        ATELIER_RATE_ADDRESS="off",
        ATELIER_KEY_STREAM_SECONDS="0.3",
    ) as door:
        told = {
            "SCHEMATHESIS_KNOWN": json.dumps(known),
            "SCHEMATHESIS_STREAM_KEY": (await make_key(member, "jobs:read"))["secret"],
            "SCHEMATHESIS_CALLS": str(tmp_path / "calls"),
        }
        url = str(door.http.base_url)
        ended = [await _schemathesis(url, member, told, phases) for phases in PHASES]
        await _cancel_all(member)
    for code, output in ended:
        assert code == 0, f"seed {SEED}\n{output}"
    calls = answers(tmp_path / "calls")
    assert set(calls) == set(operations()), "every operation is called"
    never = {name for name, seen in calls.items() if all(each // 100 != 2 for each in seen)}
    assert never == set(NEVER_2XX), "each is answered well once"


def answers(calls: Path) -> dict[str, list[int]]:
    """Returns the statuses that each operation was answered with."""
    seen: dict[str, list[int]] = {}
    for line in calls.read_text().splitlines():
        name, status = line.split("\t")
        seen.setdefault(name, []).append(int(status))
    return seen


def operations() -> Iterator[str]:
    document = json.loads(DOCUMENT.read_text())
    for path, item in document["paths"].items():
        yield from (f"{verb.upper()} {path}" for verb in item)


async def _schemathesis(
    url: str, member: Member, told: dict[str, str], phases: tuple[str, ...]
) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", str(CONFIG), "run", str(DOCUMENT)),
        *("--url", url, "--header", f"Authorization: {member.headers['authorization']}"),
        # One thread: CPython 3.11's parser, which hypothesis calls, fails now and then in several.
        *("--seed", SEED, "--workers", "1", *phases),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **told},
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def _cancel_all(member: Member) -> None:
    """What was submitted on the way need not be made."""
    for job in (await member.get("/v1/jobs?limit=100")).json()["data"]:
        await member.post(job["cancel_url"])
