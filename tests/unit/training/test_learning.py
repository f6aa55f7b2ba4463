"""The parts of the training that need torch, on small things; see ``learning_checks``."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin

CHECKS_SECONDS = 240


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What was found; in a process of its own because torch lives in another environment."""
    checks = subprocess.run(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.training.learning_checks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECKS_SECONDS,
        check=False,
    )
    assert checks.returncode == 0, checks.stderr
    return dict(json.loads(checks.stdout))


def test_a_stage_that_was_broken_off_ends_as_one_that_was_not(found: dict[str, Any]) -> None:
    assert found["resuming"]["seen"] == [16, 16]
    assert found["resuming"]["learned"] > 1e-3
    assert found["resuming"]["difference"] == 0
    assert found["resuming"]["average_difference"] == 0


def test_training_asks_the_model_what_the_model_asks_itself(found: dict[str, Any]) -> None:
    seen = found["asking"]
    assert max(seen["masks"], seen["logits"], seen["boxes"]) < 1e-4
    assert seen["mask_side"] == 64


def test_prompts_whose_masks_are_wanted_get_the_masks_they_would_get_anyway(
    found: dict[str, Any],
) -> None:
    assert found["asking"]["some_masks"] < 1e-5


def test_instances_go_to_slots_from_left_to_right(found: dict[str, Any]) -> None:
    assert found["targeting"]["slots"] == [2, 0, 3, 1]


def test_boxes_enclose_exactly_the_masks_that_are_named(found: dict[str, Any]) -> None:
    assert found["targeting"]["boxes_fit"]


def test_generalised_iou_of_known_boxes(found: dict[str, Any]) -> None:
    assert found["targeting"]["giou_same"] == pytest.approx(1, abs=1e-4)
    assert found["targeting"]["giou_apart"] == pytest.approx(-7 / 9, abs=1e-4)


@pytest.mark.parametrize("stage", ["joint", "fine"])
def test_the_exported_folder_answers_for_pictures_of_any_size(
    found: dict[str, Any], stage: str
) -> None:
    seen = found["exporting"][stage]
    assert seen["answers"] == 3
    assert seen["semantic"] == [96, 160]
    assert seen["mask_side"] == seen["wanted_side"]
    assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= set(seen["files"])


def test_centring_the_latents_changes_no_picture(found: dict[str, Any]) -> None:
    assert found["centring"]["difference"] < 1e-4
    assert found["centring"]["mean"] < 1e-4
    assert found["centring"]["deviation"] == pytest.approx(1, abs=0.01)


def test_the_key_of_a_colour_finds_what_has_it(found: dict[str, Any]) -> None:
    assert found["keying"]["right_colour"] > 0.95
    assert found["keying"]["wrong_colour"] < 0.1
