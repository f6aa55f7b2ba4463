"""Pictures to begin from, drawings, adapters, schedulers, Flux: against diffusers, and in company.

Tolerances are relative to the largest number of the latents, in single precision: 1e-5 against the
pipelines of diffusers and for a row in company against the same row alone.
"""

from __future__ import annotations

from typing import Any

import pytest

from inference.engine.request import SCHEDULERS

TOLERANCE = 1e-5


@pytest.mark.parametrize(
    "check", ["image_to_image", "painting_over", "made_for_painting", "few_steps", "flux"]
)
def test_a_row_is_what_the_pipeline_of_diffusers_makes(found: dict[str, Any], check: str) -> None:
    assert max(found[check]["differences"].values()) < TOLERANCE


def test_control_is_what_the_pipeline_of_diffusers_makes_whole_or_for_some_steps(
    found: dict[str, Any],
) -> None:
    assert max(found["control"]["differences"].values()) < TOLERANCE
    assert found["control"]["edges"] > 0.01


def test_adapters_act_as_if_they_were_merged_into_the_weights(found: dict[str, Any]) -> None:
    assert max(found["adapters"]["differences"].values()) < TOLERANCE
    assert found["adapters"]["moves"] > 0.1


def test_adapters_of_peft_and_kohya_say_the_same_as_those_of_diffusers(
    found: dict[str, Any],
) -> None:
    assert found["adapters"]["formats"] < TOLERANCE


def test_a_file_that_is_no_adapter_for_the_model_fails_its_row_alone(
    found: dict[str, Any],
) -> None:
    assert found["adapters"]["outcomes"] == {
        "blue": ["PICTURE", ""],
        "broken": ["MODEL_FAILED", ""],
        "wrong": ["MODEL_FAILED", ""],
        "dora": ["MODEL_FAILED", ""],
        "none": ["INVALID_ARGUMENT", "loras.name"],
    }


def test_rows_of_every_kind_share_a_step_and_end_as_each_does_alone(found: dict[str, Any]) -> None:
    assert found["mixed"]["largest_batch"] >= 6
    assert max(found["mixed"]["differences"]) < TOLERANCE


@pytest.mark.parametrize("check", ["made_for_painting", "flux"])
def test_rows_of_other_architectures_share_steps_too(found: dict[str, Any], check: str) -> None:
    assert max(found[check]["company"]) < TOLERANCE


@pytest.mark.parametrize("check", ["painting_over", "made_for_painting"])
def test_what_the_mask_keeps_is_kept_to_the_byte(found: dict[str, Any], check: str) -> None:
    assert found[check]["kept_changed"] == 0
    assert found[check]["soft_edge_changed"] == 0
    assert found[check]["painted_changed"] > 0.9


def test_strength_is_the_share_of_the_steps_that_is_done(found: dict[str, Any]) -> None:
    assert found["image_to_image"]["steps"] == [[1, 3], [2, 3], [3, 3]]


def test_a_picture_of_another_size_is_cut_to_the_models(found: dict[str, Any]) -> None:
    assert found["image_to_image"]["other_size"] == [64, 64, 3]


def test_a_drawing_without_weight_changes_nothing_and_depth_is_measured(
    found: dict[str, Any],
) -> None:
    assert found["control"]["scale_zero"] == 0
    assert found["control"]["depth_moves"] > 1e-3
    assert found["control"]["depth_given"] == "PICTURE"


def test_every_scheduler_draws_its_own_picture_again_and_from_a_picture(
    found: dict[str, Any],
) -> None:
    seen = found["schedulers"]
    assert set(seen["pictures"]) == set(SCHEDULERS) - {"flow_euler"}
    # "dpm" and "dpmpp_2m" are two names of one for a model that says nothing else.
    assert len(set(seen["pictures"].values())) == len(seen["pictures"]) - 1
    assert seen["again"] == seen["pictures"]
    assert set(seen["from_half"].values()) == {"PICTURE"}


def test_a_scheduler_that_does_not_fit_is_refused_by_field(found: dict[str, Any]) -> None:
    assert found["schedulers"]["refused"] == {"flow_euler": "scheduler"}
    assert found["schedulers"]["too_many"] == ["INVALID_ARGUMENT", "steps"]
    assert found["flux"]["scheduler"] == ["INVALID_ARGUMENT", "scheduler"]
    assert found["flux"]["drawings"] == ["INVALID_ARGUMENT", "controls"]


def test_flux_brings_its_defaults_aspects_and_previews(found: dict[str, Any]) -> None:
    assert found["flux"]["schnell"] == [4, "PICTURE"]
    assert found["flux"]["shape"] == [48, 80, 3]
    assert found["flux"]["previews"] == [False, True, False, False]
