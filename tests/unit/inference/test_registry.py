"""Models on demand: which are loaded, which go, and who waits for whom."""

from __future__ import annotations

from typing import Any


def test_a_model_is_loaded_by_the_first_request_while_others_are_sampled(
    found: dict[str, Any],
) -> None:
    seen = found["on_demand"]
    states = [{name: one[name] for name in ("a", "b")} for one in seen["states"]]
    assert states == [
        {"a": "unloaded", "b": "unloaded"},
        {"a": "starting", "b": "unloaded"},
        {"a": "busy", "b": "starting"},
    ]
    assert seen["meanwhile"] == [4, 0]
    assert seen["outcomes"] == ["PICTURE", "PICTURE"]
    assert seen["loads"] == ["a", "b"]
    assert seen["end"]["a"] == seen["end"]["b"] == "ready"


def test_the_model_least_recently_used_makes_room(found: dict[str, Any]) -> None:
    assert found["making_room"]["loads"] == ["a", "b", "c", "b"]
    assert found["making_room"]["states"]["c"] == "unloaded"


def test_a_model_with_rows_in_flight_stays_and_the_waiting_one_is_not_overtaken_for_ever(
    found: dict[str, Any],
) -> None:
    seen = found["in_use"]
    assert seen["loads"][:3] == ["a", "b", "c"]
    assert seen["stayed"] == ["PICTURE", "PICTURE"]
    assert seen["third"] == "PICTURE"
    assert seen["waited"] < 2.5 * seen["patience"]
    assert seen["crowd"] == ["PICTURE"]


def test_a_model_beyond_the_budget_fails_alone_and_displaces_nobody(found: dict[str, Any]) -> None:
    assert found["too_big"]["outcome"] == "MODEL_FAILED"
    assert "needs 101 bytes of 100" in found["too_big"]["message"]
    assert found["too_big"]["states"] == {
        "a": "ready",
        "b": "unloaded",
        "c": "unloaded",
        "d": "unloaded",
        "huge": "failed",
    }


def test_every_row_that_waits_for_a_model_that_cannot_be_loaded_is_told(
    found: dict[str, Any],
) -> None:
    assert found["hopeless"]["outcomes"] == ["MODEL_FAILED", "MODEL_FAILED"]
    assert found["hopeless"]["states"]["b"] == "failed"


def test_a_model_is_loaded_again_however_often_that_has_failed(found: dict[str, Any]) -> None:
    assert found["hopeless"]["mended"] == "PICTURE"


def test_a_quality_names_a_model_and_its_defaults(found: dict[str, Any]) -> None:
    assert found["qualities"]["chosen"] == {"": "a", "fast": "e", "standard": "a", "best": "e"}
    assert found["qualities"]["named"] == "b"
    assert found["qualities"]["steps"] == [[2, 0.0], [12, 4.0]]


def test_rows_per_step_end_where_the_card_is_full(found: dict[str, Any]) -> None:
    rows = {name: card["rows_max"] for name, card in found["knee"].items()}
    assert rows == {
        "idle_until_8": 8,
        "full_at_once": 2,
        "never_full": 32,
        "little_memory": 4,
        "others_at_work": 2,
        "one_fits": 1,
        "hardly_faster": 2,
    }
    assert found["knee"]["idle_until_8"]["steps"] == [1, 1, 5]
    assert found["knee"]["little_memory"]["cleared"] == 1


def test_a_model_is_tried_only_with_rows_for_which_there_is_memory_that_nobody_uses(
    found: dict[str, Any],
) -> None:
    seen = found["knee"]["others_at_work"]
    assert (seen["tried"], seen["cleared"]) == (2, 0)


def test_an_adapter_is_read_while_others_are_sampled(found: dict[str, Any]) -> None:
    seen = found["dressing"]
    assert seen["meanwhile"] == [3, 0, 1]
    assert seen["outcomes"] == ["PICTURE", "PICTURE", "MODEL_FAILED"]


def test_others_are_loaded_beside_a_model_that_was_loaded_at_the_start(
    found: dict[str, Any],
) -> None:
    assert found["preloaded"] == {"outcomes": [True, True], "loads": ["a", "b"]}


def test_an_adapter_takes_the_room_of_models_that_nobody_uses_or_waits(
    found: dict[str, Any],
) -> None:
    seen = found["room_for_adapters"]
    assert seen["displacing"] == ["PICTURE", "unloaded"]
    assert seen["waiting"] == ["PICTURE", 3, "unloaded"]
    assert seen["beside_a_load"] == [1, "PICTURE"]
    assert seen["hopeless"][0] == "MODEL_FAILED"
    assert "no room for adapters" in seen["hopeless"][1]


def test_a_model_waits_for_room_beside_an_adapter_that_is_being_read(
    found: dict[str, Any],
) -> None:
    seen = found["load_beside_an_adapter"]
    assert seen["begun"] == [1, 1]
    assert seen["outcomes"] == ["CANCELED", "PICTURE"]


def test_adapters_that_rows_in_flight_wear_count_until_those_end(found: dict[str, Any]) -> None:
    seen = found["worn_adapters"]
    assert seen["over"] == 0
    assert seen["waited"]
    assert seen["outcomes"] == ["PICTURE", "PICTURE", "MODEL_FAILED"]
    assert "no room for adapters" in seen["message"]


def test_a_load_that_does_not_end_is_seen_although_the_loop_goes_on(found: dict[str, Any]) -> None:
    seen = found["hanging"]
    of_a_model, of_an_adapter = seen["seen"][:4], seen["seen"][4:]
    assert of_a_model == [False, False, True, False]
    assert of_an_adapter == [False, True, False]
    assert seen["going_on"] == 4
    assert seen["ends"] == ["PICTURE"] * 3


def test_a_model_one_of_whose_files_cannot_be_read_to_its_end_is_seen_to_hang(
    found: dict[str, Any],
) -> None:
    seen = found["hung_in_its_files"]
    assert seen["seen"] == [False, True]
    assert seen["outcome"] == "MODEL_FAILED"
    assert "JSONDecodeError" in seen["message"]
