"""A process killed at each named point: what was accepted ends by itself, with its money right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.injection import Ground, arm, died
from tests.faults.load import Client
from tests.faults.points import DYING, STAGED
from tests.faults.scenes import SCENES, Stage, makes_copy
from tests.faults.truth import Truth
from tests.studio import Studio

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted(
    (victim, point)
    for table in (DYING, STAGED)
    for point, victims in table.items()
    for victim in victims
)


def test_every_crash_point_of_the_code_is_tried() -> None:
    written = {
        name
        for folder in ("kit", "services", "inference", "gateway")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'crash_point\(\s*"([^"]+)"\s*\)', file.read_text())
    }
    assert written == {point for _, point in CASES}


@pytest.mark.parametrize(("victim", "point"), CASES)
async def test_nothing_is_lost_when_a_process_dies(
    studio: Studio, arena: Ground, truth: Truth, victim: str, point: str
) -> None:
    client = Client(studio)
    ends = arena.supervisor.ends(victim)
    member = await client.sign_up()
    stage = Stage(arena, client, member, lambda: arm(arena, victim, point))
    await SCENES.get((point, victim), makes_copy)(stage)
    await died(arena, victim, ends)
    await arena.healed()
    assert not client.tally.faults
    await truth.check(client.tally.accepted)
