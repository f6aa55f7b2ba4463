"""The denoiser's training, on a few scenes; see ``denoiser_checks``."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin

CHECKS_SECONDS = 900


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What was found; in a process of its own because torch lives in another environment."""
    checks = subprocess.run(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.training.denoiser_checks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECKS_SECONDS,
        check=False,
    )
    assert checks.returncode == 0, checks.stderr
    return dict(json.loads(checks.stdout))


def test_a_training_that_was_broken_off_ends_as_one_that_was_not(found: dict[str, Any]) -> None:
    seen = found["trainings"]
    assert seen["seen"] == {"whole": 16, "broken": 16, "shared": 16}
    assert seen["learned"] > 1e-3
    assert seen["broken"] == 0
    assert seen["average"] == 0


def test_two_processes_learn_what_one_learns(found: dict[str, Any]) -> None:
    assert found["trainings"]["shared"] < 1e-4


def test_cells_are_called_by_what_they_show(found: dict[str, Any]) -> None:
    seen = found["naming"]
    assert seen["side"] == [1, 16, 16]
    assert seen["labels"] == [0, 1, 2, 3]
    assert seen["names"] == seen["wanted"]
    assert not seen["of_the_model"]


def test_cells_teach_the_denoiser_up_to_where_they_are_read(found: dict[str, Any]) -> None:
    assert found["naming"]["taught"] == [True, True, True, True, False]


def test_labels_are_flipped_with_their_latents(found: dict[str, Any]) -> None:
    seen = found["drawing"]
    assert seen["apart"] < 1e-3
    assert 0 < seen["straight"] < seen["of"]


def test_the_card_leaves_no_blank(found: dict[str, Any]) -> None:
    assert "$" not in found["card"]
    assert "| a gate | 0.500 |" in found["card"]


def test_the_quick_way_to_an_orthogonal_matrix_ends_where_the_plain_one_does(
    found: dict[str, Any],
) -> None:
    assert found["orthogonal"]["apart"] < 1e-3 * found["orthogonal"]["size"]
