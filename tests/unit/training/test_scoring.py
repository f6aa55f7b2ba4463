"""The gates measure what their names say, in both languages, and say what could not be measured."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin

CHECKS_SECONDS = 900
FILE_BYTES_MAX, BYTES_MAX = 25_000_000, 40_000_000  # of one file, and of all that is bundled


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What was found; in a process of its own because torch lives in another environment."""
    checks = subprocess.run(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.training.scoring_checks"],
        cwd=ROOT,
        env=dict(os.environ) | {"OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        timeout=CHECKS_SECONDS,
        check=False,
    )
    assert checks.returncode == 0, checks.stderr
    return dict(json.loads(checks.stdout))


def test_two_objects_held_out_pairs_and_aspects_have_the_same_limits_in_korean(
    found: dict[str, Any],
) -> None:
    gates = {gate["name"]: gate for gate in found["languages"]}
    for name in (
        "two objects, all four attributes",
        "held-out pairs, colour and shape",
        "64x80, colour and shape",
    ):
        english, korean = gates[f"en: {name}"], gates[f"ko: {name}"]
        assert english["limit"] == korean["limit"] is not None
        assert english["count"] == korean["count"] > 0
        assert None not in (korean["null"], korean["ceiling"])


@pytest.mark.parametrize("kind", ["latency", "segmenter_latency"])
def test_latency_has_a_median_beside_the_fastest_and_goes_through_the_engine_too(
    found: dict[str, Any], kind: str
) -> None:
    timed = [gate for gate in found[kind] if gate["name"].startswith("seconds of")]
    assert ["2 threads" in gate["name"] for gate in timed] == [True] * 4
    for fastest, median in (timed[:2], timed[2:]):
        assert fastest["value"] <= median["value"]
        assert fastest["limit"] is not None
        assert "median" in median["name"]
    assert all("through the engine" in gate["name"] for gate in timed[2:])


def test_a_clone_without_a_judge_is_told_which_gates_are_missing_and_what_makes_them(
    found: dict[str, Any],
) -> None:
    printed = found["fresh_clone"]
    assert "NOT measured: shape, colour" in printed
    assert "make train-diffusion STAGE=judge" in printed
    assert "make train-segmenter" in printed
    assert "| sharpness" in printed
    assert "| seconds of a picture" in printed


def test_absent_surfaces_count_as_absent_concepts(found: dict[str, Any]) -> None:
    assert found["absent"] == {"surface": pytest.approx(0.2), "noun": pytest.approx(0.2)}


def test_the_colour_keys_null_is_what_masks_of_other_pictures_would_score(
    found: dict[str, Any],
) -> None:
    assert found["colour_key"] == [1, 0]


def test_a_scaling_curve_has_a_line_for_each_training_and_does_none_that_is_done_again(
    found: dict[str, Any],
) -> None:
    seen = found["scaling"]
    *_, first, second = seen["table"].splitlines()
    assert first == "| 64 | 0.064 | 0.064 | 0.064 | 0.064 | 0.064 |"
    assert second.startswith("| 128 | 0.128")
    assert seen["plan"] == [256, "scaling-256"]
    assert set(seen["shown"]) <= set(seen["known"])


def test_bundled_files_are_small_enough_to_be_kept_with_the_code() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--", "inference/bundled"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    sizes = {name: (ROOT / name).stat().st_size for name in tracked.stdout.split("\0") if name}
    assert sizes
    assert [name for name, size in sizes.items() if size > FILE_BYTES_MAX] == []
    assert sum(sizes.values()) <= BYTES_MAX
