"""What fails, fails one row: memory, watchers, a thread that hangs; see ``fault_checks``."""

from __future__ import annotations

from typing import Any

MIDDLE = ["PICTURE", "MODEL_FAILED", "PICTURE"]


def test_a_call_of_a_model_that_hangs_is_seen_and_rest_is_not_mistaken_for_it(
    found: dict[str, Any],
) -> None:
    seen = found["stalling"]
    assert seen["seen"] == {"step": [False, True], "decoding": [False, True]}
    assert not seen["idle"]


def test_a_machine_whose_steps_are_slow_is_given_ten_of_the_longest(found: dict[str, Any]) -> None:
    assert found["stalling"]["of_slow"] == [False, True]


def test_an_engine_that_has_ended_fails_what_is_left_and_takes_nothing_more(
    found: dict[str, Any],
) -> None:
    seen = found["closing"]
    assert seen["left"] == seen["of_a_dead_thread"] == "MODEL_FAILED"
    assert seen["after"] == seen["after_its_death"] == ["MODEL_FAILED", "the engine has stopped"]


def test_pictures_that_are_done_at_once_are_decoded_one_by_one(found: dict[str, Any]) -> None:
    assert found["decoding"]["burst"] == ["PICTURE"] * 8


def test_a_picture_for_whose_decoding_memory_is_short_is_tried_twice_and_fails_alone(
    found: dict[str, Any],
) -> None:
    seen = found["decoding"]
    assert (seen["short"], seen["tries"]) == (MIDDLE, 2)
    assert "out of memory" in seen["message"]
    assert seen["recovered"] == "PICTURE"


def test_a_row_that_cannot_begin_fails_alone(found: dict[str, Any]) -> None:
    assert found["beginning"] == {"memory": MIDDLE, "other": MIDDLE}


def test_a_watcher_that_raises_counts_as_gone_and_harms_nobody_else(found: dict[str, Any]) -> None:
    seen = found["watching"]
    assert seen["cancelled"] == seen["progress"] == ["PICTURE", "CANCELED", "PICTURE"]
    assert (seen["cancelled steps"], seen["progress steps"]) == (0, 1)


def test_a_picture_that_cannot_be_handed_over_is_a_failure_that_is_said(
    found: dict[str, Any],
) -> None:
    assert found["watching"]["finished"] == MIDDLE


def test_a_preview_that_cannot_be_drawn_is_left_out(found: dict[str, Any]) -> None:
    seen = found["drawing_aside"]
    assert (seen["without_previews"], seen["previews"]) == (["PICTURE"] * 3, 0)


def test_memory_that_is_short_for_the_look_at_numbers_halves_or_fails_rows_and_not_the_loop(
    found: dict[str, Any],
) -> None:
    seen = found["drawing_aside"]
    assert (seen["halved"], seen["tries"]) == (["PICTURE"] * 3, [3, 2, 1])
    assert seen["hopeless"] == ["MODEL_FAILED"] * 3


def test_rows_that_memory_was_short_for_are_tried_together_again_now_and_then(
    found: dict[str, Any],
) -> None:
    seen = found["growing_back"]
    assert seen["outcomes"] == ["PICTURE"] * 4
    tries, calls = seen["tries"]
    assert 2 <= tries <= 1 + calls / 20
    assert (seen["first"], seen["largest"]) == (2, 4)


def test_sizes_can_be_told_in_the_middle_of_a_change(found: dict[str, Any]) -> None:
    seen = found["sizes"]
    assert seen["grown"] == sum(seen["worn"]) > 0
    assert (seen["left"], seen["room"]) == (0, True)


def test_pictures_are_the_same_while_another_thread_changes_torchs_default_type(
    found: dict[str, Any],
) -> None:
    assert found["default_dtype"]["odd"] == []
    assert found["default_dtype"]["kinds"] == 20


def test_there_are_no_previews_while_a_check_is_on(found: dict[str, Any]) -> None:
    assert found["drawing_aside"]["checked"] == ["PICTURE"] * 3
    assert found["drawing_aside"]["checked_previews"] == 0
    assert sum(found["previews"]["bytes"]) > 0


def test_a_row_on_an_engine_that_hangs_in_this_process_is_told(found: dict[str, Any]) -> None:
    seen = found["in_process"]["hanging"]
    assert seen["before"] == "PICTURE"
    assert seen["under"] == seen["later"] == "Unreachable: the engine has ended, or hangs"
    assert seen["models"] is None


def test_an_engine_that_hangs_ends_its_process_and_one_that_lives_does_not(
    found: dict[str, Any],
) -> None:
    seen = found["in_process"]["hanging"]  # there, the signal to end came
    assert seen["revived_while_alive"] == [True, False]


def test_a_serverless_worker_whose_engine_hangs_asks_to_be_replaced(found: dict[str, Any]) -> None:
    seen = found["in_process"]["hanging"]
    assert seen["job"]["reason"] == "MODEL_FAILED"
    assert seen["job"]["refresh_worker"]
    assert seen["refused"]["reason"] == "INVALID_ARGUMENT"
    assert "refresh_worker" not in seen["refused"]
    assert found["in_process"]["failing"] == [False, False, False, True]


def test_an_engine_that_has_ended_in_this_process_says_so(found: dict[str, Any]) -> None:
    assert found["in_process"]["hanging"]["ended"] == "Unreachable: the engine has ended, or hangs"


def test_an_engine_that_cannot_be_made_says_why_instead_of_loading_for_ever(
    found: dict[str, Any],
) -> None:
    seen = found["in_process"]["unmade"]
    assert "ATELIER_SAFETY=lokal" in seen["opened"]
    assert seen["end"] == f"Unreachable: {seen['opened']}"
    assert seen["models"] is None


def test_an_engine_whose_first_load_hangs_says_so_and_ends_its_process(
    found: dict[str, Any],
) -> None:
    seen = found["in_process"]["loading"]  # there, the signal to end came
    assert seen["opened"] == "MODEL_FAILED: a model's load hangs"
    assert seen["end"] == "Unreachable: a model's load hangs"
    assert seen["models"] is None


def test_a_check_that_nobody_could_ask_is_refused_at_the_start(found: dict[str, Any]) -> None:
    seen = found["options"]
    assert "lokal" in seen["misspelt"]
    assert "external" in seen["alone"]
    assert seen["served"] == seen["none"] == seen["empty"] == seen["off"] == ""
