"""The segmenter's rules, on a tiny model with random weights; see ``segment_checks``."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.layout import ROOT, environment_bin
from inference.engine.errors import InvalidRequest
from inference.engine.pictures.masks import Mask, Runs
from inference.engine.segmentation.cache import ByteCache
from inference.engine.segmentation.installed import find, read_traits
from inference.engine.segmentation.request import Found, Instance, Segmentation, SegmentRequest
from inference.engine.segmentation.vocabulary import asked_as, to_english
from inference.triton import segment_wire

CHECKS_SECONDS = 900
WORLD = ROOT / "inference" / "training" / "world" / "world.json"


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the engine did; in a process of its own because torch lives in another environment."""
    checks = subprocess.run(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.inference.segment_checks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECKS_SECONDS,
        check=False,
    )
    assert checks.returncode == 0, checks.stderr
    return dict(json.loads(checks.stdout))


def test_whatever_company_a_request_has_it_ends_as_it_does_alone(found: dict[str, Any]) -> None:
    company = found["company"]
    assert company["stayed"] == company["as_alone"] > 15
    assert company["largest"] == 16
    assert company["different"] > 20


def test_who_leaves_is_told_so_and_nobody_else(found: dict[str, Any]) -> None:
    assert found["company"]["left"]
    assert set(found["company"]["left"]) == {"CANCELED"}
    assert found["leaving"]["outcomes"] == ["MASKS", "CANCELED"]


def test_callers_that_have_gone_hold_no_place_in_line(found: dict[str, Any]) -> None:
    seen = found["leaving_the_line"]
    assert [seen["full"], seen["busy"], seen["gone"]] == ["OVERLOADED", True, ["CANCELED"]]
    assert seen["answered"] == ["MASKS", "MASKS"]


def test_a_picture_that_nobody_waits_for_is_not_looked_at(found: dict[str, Any]) -> None:
    assert found["leaving"]["looked"] == 1


def test_a_request_that_takes_too_long_ends(found: dict[str, Any]) -> None:
    assert found["leaving"]["late"] == "TIMEOUT"


def test_masks_are_those_of_the_library_itself(found: dict[str, Any]) -> None:
    assert found["reference"]["masks"] < 1e-4
    assert found["reference"]["scores"] < 1e-5
    assert found["reference"]["apart"] > 0.1


def test_the_same_file_is_looked_at_once_and_the_same_words_are_read_once(
    found: dict[str, Any],
) -> None:
    seen = found["remembering"]
    assert seen["known_at_first"] == [False, False]
    assert seen["looked_at_first"] == [1]
    assert seen["read_at_first"] == ["floor", "wall"]
    assert seen["known_again"] == [True, False]


def test_what_was_used_least_recently_is_forgotten_and_memory_stays_bounded(
    found: dict[str, Any],
) -> None:
    assert found["evicting"]["known"] == [False, False, True, False, True, False]
    assert found["remembering"]["bytes"] == 81_920
    assert found["remembering"]["looked_without_room"] == 2


def test_one_concept_does_not_wait_for_sixteen(found: dict[str, Any]) -> None:
    assert found["turns"]["steps"] == 2
    assert found["turns"]["done_before"] == 0
    assert found["turns"]["outcomes"] == ["MASKS"] * 3
    assert found["turns"]["concepts"] == [16] * 3


def test_what_is_no_number_or_no_picture_fails_alone(found: dict[str, Any]) -> None:
    assert found["failing"]["nan"] == ["MASKS", "MODEL_FAILED", "MASKS"]
    assert found["failing"]["unreadable"] == ["MASKS", "INVALID_ARGUMENT", "MASKS"]
    assert found["failing"]["raising"] == ["MODEL_FAILED"]


def test_short_memory_halves_the_call_and_is_remembered(found: dict[str, Any]) -> None:
    assert found["memory"]["outcomes"] == ["MASKS"] * 8
    assert found["memory"]["first"] == [8, 4, 4]
    assert found["memory"]["later"] == [4, 4]


def test_where_nothing_fits_it_fails_clearly_and_the_next_is_served(found: dict[str, Any]) -> None:
    assert found["memory"]["hopeless"] == "MODEL_FAILED"
    assert found["memory"]["message"] == "the model failed: out of memory"
    assert found["memory"]["tries"] == 2
    assert found["memory"]["next"] == "MASKS"


def test_refusals_say_why(found: dict[str, Any]) -> None:
    refused = found["refusing"]
    reasons = {name: said["reason"] for name, said in refused.items() if isinstance(said, dict)}
    assert reasons == {
        "overloaded": "OVERLOADED",
        "unknown": "UNKNOWN_MODEL",
        "invalid": "INVALID_ARGUMENT",
        "none": "UNKNOWN_MODEL",
        "untranslatable": "INVALID_ARGUMENT",
    }
    assert refused["overloaded"]["retry_after_seconds"] >= 1
    assert refused["invalid"]["field"] == refused["untranslatable"]["field"] == "concepts[1]"
    assert refused["none"]["message"] == "no segmenter is installed"


def test_a_model_of_english_is_asked_in_english(found: dict[str, Any]) -> None:
    assert found["refusing"]["asked_as"] == "red sofa"


def test_thresholds_bound_what_is_found(found: dict[str, Any]) -> None:
    seen = found["answering"]
    assert seen["size"] == [40, 48, "tiny"]
    assert seen["instances"] == 4
    assert seen["descending"]
    assert min(seen["areas"]) > 0
    assert seen["high"] == [0, 0]
    assert seen["strict_union"] < seen["union"]


def test_an_engine_that_ends_leaves_nobody_waiting(found: dict[str, Any]) -> None:
    assert found["closing"] == {"outcome": "MODEL_FAILED", "after": "MODEL_FAILED"}


def test_a_step_that_does_not_end_is_told_from_having_nothing_to_do(
    found: dict[str, Any],
) -> None:
    assert found["stalling"] == {"seen": [False, True], "idle": False}


def test_a_large_picture_with_many_concepts_keeps_the_best_and_says_how_many_it_left_out(
    found: dict[str, Any],
) -> None:
    seen = found["bounding"]
    assert seen["whole"] == [[4, 0], [4, 0]]
    assert seen["few"] == [[2, 2], [2, 2]]
    assert seen["best"]
    assert seen["limits"] == [32, 32, 22, 32, 2, 1]


def test_runs_that_are_too_long_leave_the_worst_out_and_never_the_union(
    found: dict[str, Any],
) -> None:
    seen = found["bounding"]
    assert seen["short"] == [4, 4]
    assert seen["short_fewer"]
    assert seen["none"] == [[0, 4], [0, 4]]
    assert seen["unions"]


def test_while_many_large_masks_are_made_the_engine_is_seen_to_go_on(
    found: dict[str, Any],
) -> None:
    assert found["patience"]["patient"] == ["MASKS", 16]
    assert not found["patience"]["stalled"]


def test_time_and_leaving_are_looked_at_between_masks_of_one_call(found: dict[str, Any]) -> None:
    # Two of 50 s, the other's own one between them, until it is out of time after 120.
    assert found["patience"]["late"] == ["TIMEOUT", "MASKS", 3]
    assert found["patience"]["left"] == ["CANCELED", 2]


def test_what_is_not_there_costs_no_masks(found: dict[str, Any]) -> None:
    assert found["absent"] == {"areas": 0, "unpacked": 0}


def test_a_phrase_that_cannot_be_read_fails_those_who_asked_for_it(found: dict[str, Any]) -> None:
    assert found["illegible"]["outcomes"] == ["MASKS", "MODEL_FAILED", "MODEL_FAILED"]


def test_a_watcher_that_raises_harms_nobody_else(found: dict[str, Any]) -> None:
    assert found["raising"] == {"good": "MASKS", "asked": "CANCELED", "after": "MASKS"}


def test_what_was_halved_grows_back_after_good_calls(found: dict[str, Any]) -> None:
    assert found["growing"]["sizes"] == [[8, 4, 4], [4, 4], [4, 4], [8], [8]]


def test_a_segmenter_is_loaded_when_it_is_asked_for_and_the_least_used_makes_room(
    found: dict[str, Any],
) -> None:
    seen = found["shelves"]
    assert seen["empty"] == "UNKNOWN_MODEL"
    assert set(seen["before"].values()) == {"unloaded"}
    assert seen["first"][0] == "a"
    assert seen["first"][1] < 100  # loading is no work
    assert seen["after"] == {"a": "ready", "b": "unloaded", "c": "ready"}
    assert seen["loads"] == ["a", "b", "c", "b", "later"]
    assert seen["later"] == "MASKS"
    assert seen["room"] == [True, 123]


def test_one_that_waits_for_room_is_passed_by_nobody(found: dict[str, Any]) -> None:
    seen = found["sharing"]
    assert seen["outcomes"] == ["MASKS"]
    assert seen["loads"] == ["a", "b", "a"]
    assert seen["order"][-1] == "a3"


def test_one_that_cannot_be_loaded_fails_alone_and_is_tried_again(found: dict[str, Any]) -> None:
    seen = found["broken"]
    assert (seen["beside"], seen["first"], seen["state"]) == ("MASKS", "MODEL_FAILED", "failed")
    assert seen["soon"][0] == "MODEL_FAILED"
    assert 0 < seen["soon"][1] <= 5
    assert (seen["again"], seen["mended"]) == ("MODEL_FAILED", "MASKS")
    assert seen["loads"] == ["a", "b", "b", "b"]


@dataclass(frozen=True)
class Thing:
    size_bytes: int


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60)), max_size=40))
def test_a_cache_never_holds_more_than_it_may(uses: list[tuple[int, int]]) -> None:
    cache: ByteCache[int, Thing] = ByteCache(100)
    held: dict[int, Thing] = {}
    for key, size in uses:
        known = cache.get(key)
        assert known is None or known is held[key]
        held[key] = Thing(size)
        cache.put(key, held[key])
        assert cache.get(key) is held[key]
        assert cache.size_bytes <= 100


def test_every_name_of_the_bundled_world_has_its_english() -> None:
    world = json.loads(WORLD.read_text(encoding="utf-8"))
    parts = ("objects", "colours", "materials", "surface_kinds", "surfaces", "backdrops")
    unknown = [
        name
        for part in parts
        for each in world[part]
        for name in each["ko"]
        if not to_english(name)
    ]
    assert unknown == []


def test_words_before_a_noun_are_translated_with_it() -> None:
    assert to_english("벽") == "wall"
    assert to_english("빨간 커피 한 잔") == "red coffee cup"
    assert to_english("뷁 벽") is None
    assert asked_as("  the   red mug ", ("en",)) == "red mug"
    assert asked_as("소파", ("en", "ko")) == "소파"
    with pytest.raises(InvalidRequest, match="knows English only"):
        asked_as("뷁", ("en",))


def _folder(root: Path, name: str, config: dict[str, Any], **files: dict[str, Any]) -> Path:
    folder = root / name
    folder.mkdir()
    for stem, said in {"config": config, **files}.items():
        (folder / f"{stem}.json").write_text(json.dumps(said))
    return folder


def test_segmenters_are_told_from_everything_else(tmp_path: Path) -> None:
    _folder(tmp_path, "bert", {"model_type": "bert"})
    _folder(tmp_path, "ours", {"model_type": "sam3"})
    _folder(tmp_path, "official", {"model_type": "sam3_video"})
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text('{"model_ty')
    assert [path.name for path in find(tmp_path)] == ["official", "ours"]


def test_an_official_folder_says_what_a_picture_must_become(tmp_path: Path) -> None:
    processor = {"size": {"height": 1008, "width": 1008}, "image_mean": [0.4, 0.5, 0.6]}
    official = _folder(
        tmp_path,
        "official",
        {"model_type": "sam3_video", "detector_config": {"text_config": {"vocab_size": 49408}}},
        processor_config={"image_processor": processor, "point_pad_value": -10},
    )
    traits = read_traits(official)
    assert (traits.side_px, traits.mean, traits.languages) == (1008, (0.4, 0.5, 0.6), ("en",))
    ours = _folder(
        tmp_path,
        "ours",
        {"model_type": "sam3", "text_config": {"vocab_size": 1400}},
        preprocessor_config={"size": {"height": 128}},
        atelier={"score_min": 0.4},
    )
    traits = read_traits(ours)
    assert (traits.side_px, traits.score_min, traits.languages) == (128, 0.4, ("en", "ko"))


def test_requests_and_answers_travel_through_triton_as_they_are() -> None:
    asked = SegmentRequest(b"\x89PNG", ("벽", "a mug"), "sam3", 0.25, 0.5, 9.0)
    assert segment_wire.decode_request(segment_wire.encode_request(asked), b"\x89PNG") == asked
    with pytest.raises(InvalidRequest, match="not a request"):
        segment_wire.decode_request(b'{"concepts": ["wall"], "colour": 1}', b"")
    mask = Runs.of(Mask.of(np.eye(5, 6, dtype=bool)))
    found = Found("벽", "wall", 0.75, mask, (Instance(mask, 0.5), Instance(mask, 0.25)), 3)
    answer = Segmentation("sam3", 5, 6, (found,), True, 0.125)
    again = segment_wire.decode_answer(segment_wire.encode_answer(answer))
    assert (again.model, again.height, again.width) == ("sam3", 5, 6)
    assert (again.was_known, again.seconds) == (True, 0.125)
    assert again.found == answer.found


def test_what_a_segmenter_does_is_counted_as_a_models_steps_are(found: dict[str, Any]) -> None:
    seen = found["counting"]
    assert seen["first"] == [16, 3, 1]
    assert seen["growing"]
    steps, calls = seen["seconds"]  # but for the warm-up's, whose time is the load's
    assert steps == calls > 0
    assert seen["halvings"] == [1, 0]
    assert seen["loads"] == [2, 1]
    assert seen["waiting"] == [0, 0]
