"""The parts of the training that need torch, on small things; see ``learning_checks``."""

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
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.training.learning_checks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECKS_SECONDS,
        check=False,
    )
    assert checks.returncode == 0, checks.stderr
    return dict(json.loads(checks.stdout))


@pytest.mark.parametrize(("stage", "scenes"), [("places", 32), ("joint", 16)])
def test_a_stage_that_was_broken_off_ends_as_one_that_was_not(
    found: dict[str, Any], stage: str, scenes: int
) -> None:
    seen = found["resuming"][stage]
    assert seen["seen"] == [scenes, scenes]
    assert seen["learned"] > 1e-3
    assert seen["difference"] == 0
    assert seen["average_difference"] == 0


def test_training_asks_the_model_what_the_model_asks_itself(found: dict[str, Any]) -> None:
    seen = found["asking"]
    assert max(seen["masks"], seen["logits"], seen["boxes"]) < 1e-4
    assert seen["mask_side"] == 64


def test_prompts_whose_masks_are_wanted_get_the_masks_they_would_get_anyway(
    found: dict[str, Any],
) -> None:
    assert found["asking"]["some_masks"] < 1e-5


def test_scenes_with_three_of_a_kind_are_drawn_more_often(found: dict[str, Any]) -> None:
    assert found["crowding"] == {"crowd": 6, "plain": [1]}


def test_a_share_between_two_marks_is_read_back_from_them(found: dict[str, Any]) -> None:
    seen = found["placing"]
    assert seen["read_back"] == pytest.approx(seen["values"], abs=1e-5)
    assert seen["sums"] == pytest.approx([1] * len(seen["sums"]), abs=1e-5)


def test_cells_of_objects_and_no_others_are_taught_where_their_object_is(
    found: dict[str, Any],
) -> None:
    assert found["placing"]["names"] == ["where0", "where1"]
    assert found["placing"]["taught_cells_are_objects"]


def test_cells_that_tell_their_slot_lose_less_than_those_that_tell_another(
    found: dict[str, Any],
) -> None:
    right, wrong = found["placing"]["order"]
    assert right < 0.1
    assert wrong > 3


def test_the_joint_stage_begins_with_levels_of_deviation_one_and_else_unchanged(
    found: dict[str, Any],
) -> None:
    assert found["beginning"]["deviations"] == pytest.approx([1, 1], abs=1e-3)
    assert found["beginning"]["changed_else"] < 1e-3


def test_patches_are_told_both_their_row_and_their_column(found: dict[str, Any]) -> None:
    assert min(found["beginning"]["places_read"]) > 0.95
    assert found["beginning"]["marks"] == pytest.approx(0.2, abs=0.01)


def test_classes_are_not_taught_anew_to_the_finest_level(found: dict[str, Any]) -> None:
    assert found["beginning"]["others_taught"]
    assert not found["beginning"]["finest_taught"]
    assert {"order", "where", "dense", "mask"} <= set(found["beginning"]["losses"])


def test_several_of_a_kind_count_as_found_only_when_each_has_a_mask_of_its_own(
    found: dict[str, Any],
) -> None:
    assert found["measuring"] == {
        "apart": [1, 1],
        "in one": [0, 1],
        "one left out": [0, 1],
        "one too many": [0, 1],
    }


def test_a_look_in_mid_training_tells_whether_instances_come_apart(found: dict[str, Any]) -> None:
    told = found["glancing"]
    for name in ("all instances", "count", "each IoU", "IoU 1-2", "IoU 3-4", "right"):
        assert f"{name} " in told
    assert "(0)" not in told


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
