"""Schemathesis against the running stack, as a member: what it is told is all that happens."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from tests.acceptance.doors import gateway_with
from tests.conftest import Installation
from tests.studio import Member

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).parent / "schemathesis.toml"
# The same calls every time, or in a deep run other ones for as long as it says.
SECONDS = int(os.environ.get("DEEP_SECONDS") or 45)
SEED = os.environ.get("DEEP_SEED") or (
    str(random.randrange(2**32)) if "DEEP_SECONDS" in os.environ else "20260131"
)


@pytest.mark.timeout(SECONDS + 120)
async def test_nothing_is_answered_that_the_document_does_not_say(
    member: Member, installation: Installation
) -> None:
    async with gateway_with(
        installation,
        ATELIER_RATE_MEMBER="off",
        ATELIER_RATE_GUEST="off",
        ATELIER_RATE_ADDRESS="off",
    ) as studio:
        code, output = await _schemathesis(str(studio.http.base_url), member)
        await _cancel_all(member)
    assert code == 0, f"seed {SEED}\n{output}"


async def _schemathesis(url: str, member: Member) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        *("--config-file", str(CONFIG), "run", str(ROOT / "docs" / "openapi.json")),
        *("--url", url, "--header", f"Authorization: {member.headers['authorization']}"),
        *("--max-time", str(SECONDS), "--seed", SEED, "--workers", "2"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def _cancel_all(member: Member) -> None:
    """What was submitted on the way need not be made."""
    for job in (await member.get("/v1/jobs?limit=100")).json()["data"]:
        await member.post(job["cancel_url"])
