"""Calls of Triton: what they hold, and that are not answered, late or because nobody is there."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin

LATE_SECONDS = 60.0


@pytest.fixture(scope="module")
def ends() -> dict[str, Any]:
    python = environment_bin(".venv-models") / "python"
    if not python.exists():
        pytest.skip("NOT TESTED: the model environment is not installed (make models)")
    command = [str(python), "-m", "tests.unit.inference.connection_checks"]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    if "No module named 'tritonclient'" in ran.stderr:
        pytest.skip("NOT TESTED: Triton's client is not installed")
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def test_inputs_are_made_one_call_at_a_time_and_not_held_once_they_are_sent(
    ends: dict[str, Any],
) -> None:
    assert ends["sent"] == {"at_once": 1, "in_all": 3, "held": 0}


def test_a_call_whose_turn_did_not_come_is_told_to_come_back(ends: dict[str, Any]) -> None:
    assert ends["late"] == ["OVERLOADED", "Overloaded", LATE_SECONDS]


def test_a_triton_that_is_away_is_unreachable(ends: dict[str, Any]) -> None:
    assert ends["away"] == ["MODEL_FAILED", "Unreachable", None]
