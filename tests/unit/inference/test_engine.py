"""The engine's rules, on a tiny model with random weights; see ``engine_checks``."""

from __future__ import annotations

from typing import Any

import pytest


def test_rows_that_join_and_leave_at_different_steps_end_as_each_does_alone(
    found: dict[str, Any],
) -> None:
    assert found["company"]["largest_batch"] == 4
    assert max(found["company"]["differences"]) < 1e-4


def test_a_row_is_the_picture_that_the_pipeline_of_diffusers_draws(found: dict[str, Any]) -> None:
    assert max(found["reference"]["differences"]) < 1e-5


def test_a_cancelled_row_is_gone_at_the_next_step_and_makes_room(found: dict[str, Any]) -> None:
    assert found["cancelling"]["outcomes"] == ["CANCELED", "PICTURE"]
    assert found["cancelling"]["steps_of_the_cancelled"] == 3


def test_a_row_cancelled_in_line_never_begins(found: dict[str, Any]) -> None:
    assert found["cancelling"]["outcomes_in_line"] == ["PICTURE", "CANCELED"]


def test_a_row_of_nan_fails_alone_and_at_once_instead_of_becoming_black(
    found: dict[str, Any],
) -> None:
    assert found["failing"]["nan"] == ["PICTURE", "MODEL_FAILED", "PICTURE"]
    assert found["failing"]["nan_steps"] == 0
    assert found["failing"]["blank"] == ["PICTURE", "MODEL_FAILED", "PICTURE"]
    assert "no picture" in found["failing"]["blank_message"]


def test_a_row_that_raises_fails_alone(found: dict[str, Any]) -> None:
    assert found["failing"]["raising"] == ["PICTURE", "MODEL_FAILED", "PICTURE"]
    assert "ValueError" in found["failing"]["raising_message"]


def test_out_of_memory_halves_the_rows_now_and_later(found: dict[str, Any]) -> None:
    assert found["memory"]["outcomes"] == ["PICTURE"] * 4
    assert found["memory"]["first_batches"] == [4, 2, 2]
    assert found["memory"]["largest_later"] == 2


def test_out_of_memory_for_a_single_row_is_tried_twice_and_then_said_clearly(
    found: dict[str, Any],
) -> None:
    assert found["memory"]["hopeless"] == "MODEL_FAILED"
    assert found["memory"]["hopeless_tries"] == 2
    assert "out of memory" in found["memory"]["message"]


def test_the_machines_own_allocator_is_understood_too(found: dict[str, Any]) -> None:
    assert found["allocator"] == {"rows": [10, 20], "cleared": 1, "others": [False, False]}


def test_a_full_line_refuses_and_says_when_to_come_back(found: dict[str, Any]) -> None:
    refusal = found["refusing"]["overloaded"]
    assert refusal["reason"] == "OVERLOADED"
    assert refusal["retry_after_seconds"] == pytest.approx(2 * 12 * 0.5)


def test_a_row_fails_alone_although_memory_was_short_as_well(found: dict[str, Any]) -> None:
    assert found["parting"]["wrong"] == []


def test_pictures_of_waiting_rows_are_bounded_in_bytes(found: dict[str, Any]) -> None:
    assert found["refusing"]["pictures"]["reason"] == "OVERLOADED"
    assert found["refusing"]["words"] == {}


def test_a_row_that_is_sampled_holds_no_picture_of_its_request_and_keeps_what_the_mask_keeps(
    found: dict[str, Any],
) -> None:
    assert found["dropping"] == {"held": 0, "colours": [[9, 99, 199]]}


def test_a_model_that_is_not_installed_is_refused(found: dict[str, Any]) -> None:
    assert found["refusing"]["unknown"]["reason"] == "UNKNOWN_MODEL"


def test_a_model_that_cannot_be_loaded_fails_alone_and_is_tried_again_ever_more_seldom(
    found: dict[str, Any],
) -> None:
    tries = found["broken"]["tries"]
    assert {one["reason"] for one in tries} == {"MODEL_FAILED"}
    accepted = [one.get("accepted", False) for one in tries]
    # At 0, 11, 100, 500, 1,000 and 2,000 s; not after 5 s.
    assert accepted == [True, False, True, True, True, True, True]
    assert tries[1]["retry_after_seconds"] == pytest.approx(5)
    assert found["broken"]["other"] == "PICTURE"


def test_an_invalid_request_names_its_field(found: dict[str, Any]) -> None:
    assert found["refusing"]["invalid"]["reason"] == "INVALID_ARGUMENT"
    assert found["refusing"]["invalid"]["field"] == "aspect"


def test_sampling_has_a_time_limit_that_does_not_count_the_time_in_line(
    found: dict[str, Any],
) -> None:
    assert found["timing"]["outcomes"] == ["TIMEOUT", "PICTURE"]
    assert found["timing"]["seconds"] == [3.0]


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(
    found: dict[str, Any],
) -> None:
    repeated = found["repeating"]
    assert repeated["first"] == repeated["second"] != repeated["other"]


def test_shapes_share_the_card_by_seconds_and_not_by_steps(found: dict[str, Any]) -> None:
    # One step of eight squares costs as much as eight of the wide picture alone.
    assert found["turns"]["steps"] == [1] * 8 + [9]


def test_previews_are_small_jpegs_of_every_other_step_and_only_where_asked(
    found: dict[str, Any],
) -> None:
    seen = found["previews"]
    assert seen["steps"] == [[step, 6] for step in range(1, 7)]
    assert [bool(size) for size in seen["bytes"]] == [False, True, False, True, False, False]
    assert max(seen["bytes"]) <= 32_000
    assert seen["plain_bytes"] == [0] * 6
    assert (seen["format"], seen["size"]) == ("JPEG", seen["picture_size"])


def test_a_model_brings_its_own_defaults_and_is_profiled(found: dict[str, Any]) -> None:
    seen = found["installed"]
    assert (seen["steps"], seen["guidance_scale"]) == (5, 2.5)
    assert 2 <= seen["rows_max"] <= 8
    assert seen["row_step_seconds"] > 0
