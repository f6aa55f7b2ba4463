"""Any play on the step loop: every row ends as it does alone, in bounded time and memory."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.layout import ROOT, environment_bin

PLAYS = int(os.environ.get("LOOP_PLAYS", "40"))
# Relative to the largest number of the latents, in single precision. Usual are 1e-6; one step from
# pure noise to the picture divides by the signal that there is, 1/4096, and gives 1e-4.
TOLERANCE = 1e-3
SHAPES = {"wide": "wide", "flux": "flux"}  # the rest are squares of one model
STEP_SECONDS = {"tiny": 1.0, "flux": 7.0}
NEVER = 1_000

FAULTS = ("nan", "raise", "begin", "decode", "watch", "late")
ROWS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(
            ["text", "unguided", "wide", "image", "paint", "control", "lora", "flux"]
        ),
        "steps": st.integers(1, 6),
        "at": st.integers(0, 8),
        "leaves_after": st.sampled_from([NEVER, NEVER, NEVER, 0, 1, 2, 3]),
        "fault": st.sampled_from(["", "", "", "", *FAULTS]),
    }
)
PLANS = st.fixed_dictionaries(
    {
        "rows_max": st.integers(1, 4),
        "waiting_max": st.integers(1, 6),
        "memory": st.sampled_from([0, 0, 0, 2, 3]),
        "both_fit": st.sampled_from([True, True, False]),
        "load_ticks": st.sampled_from([0, 0, 1, 3]),
        "preloaded": st.booleans(),
        "rows": st.lists(ROWS, min_size=1, max_size=8),
    }
)


class Player:
    """The loop in the environment that has torch, a play at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._read() == "ready"

    def play(self, plan: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(plan) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._read()))

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the player has ended"
        return line.strip()


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with subprocess.Popen(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.inference.loop_player"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield Player(process)
        assert process.stdin
        process.stdin.close()


@given(plan=PLANS)
@settings(
    max_examples=PLAYS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_row_ends_as_it_does_alone_and_none_starves(
    player: Player, plan: dict[str, Any]
) -> None:
    played = player.play(plan)
    for number, row in enumerate(plan["rows"], 1):
        told = played["rows"][number - 1]
        assert told["outcome"] in _expected(row), (row, told)
        if told["outcome"] == "PICTURE":
            assert told["difference"] < TOLERANCE, (row, told)
        if told["outcome"] == "CANCELED":
            gone_after = min(row["leaves_after"], 1) if row["fault"] == "watch" else NEVER
            assert told["steps"] == min(row["leaves_after"], gone_after)
            assert _steps_run(played, number) == told["steps"]
        if told["outcome"] != "OVERLOADED" and told["ready"]:
            if plan["both_fit"] and row["fault"] != "begin":
                _starts_at_once(plan, played, number)
            _is_never_forgotten(plan, played, number)
    _bounded(plan, played)


def _expected(row: dict[str, Any]) -> set[str]:
    """How a row may end; refused at the door it may be whatever it is."""
    steps = (int(row["steps"] * 0.6) or 1) if row["mode"] == "image" else row["steps"]
    leaves_after = 1 if row["fault"] == "watch" else row["leaves_after"]
    left = {"CANCELED"} if leaves_after < steps else set()
    if row["leaves_after"] == 0:
        return {"CANCELED", "OVERLOADED"}
    if row["fault"] in {"nan", "raise", "begin"}:
        return {"MODEL_FAILED", "OVERLOADED"}
    if row["fault"] == "decode":
        return (left or {"MODEL_FAILED"}) | {"OVERLOADED"}
    if row["fault"] == "late":
        # The first step may be in time, and is the last one; whoever left is not looked at again.
        return {"TIMEOUT", "OVERLOADED"} | (left or ({"PICTURE"} if steps == 1 else set()))
    return (left or {"PICTURE"}) | {"OVERLOADED"}


def _steps_run(played: dict[str, Any], number: int) -> int:
    """In how many steps of the loop a row was sampled."""
    return len({call["tick"] for call in played["calls"] if number in call["seeds"]})


def _shape(plan: dict[str, Any], number: int) -> str:
    return SHAPES.get(plan["rows"][number - 1]["mode"], "square")


def _of_shape(plan: dict[str, Any], played: dict[str, Any], shape: str) -> list[dict[str, Any]]:
    return [call for call in played["calls"] if _shape(plan, call["seeds"][0]) == shape]


def _starts_at_once(plan: dict[str, Any], played: dict[str, Any], number: int) -> None:
    """A row that nobody waits before is in the next step of its shape, if there was room."""
    row = plan["rows"][number - 1]
    calls = _of_shape(plan, played, _shape(plan, number))
    later = [call for call in calls if call["tick"] >= row["at"]]
    mates = {seed for call in later if call["tick"] == later[0]["tick"] for seed in call["seeds"]}
    out_of_time = played["rows"][number - 1]["outcome"] == "TIMEOUT"  # in another shape's turn
    if number in mates or row["leaves_after"] == 0 or out_of_time:
        return
    earlier = [call["tick"] for call in calls if call["tick"] < row["at"]]
    before = {
        seed for call in calls if earlier and call["tick"] == earlier[-1] for seed in call["seeds"]
    }
    room = 1 if plan["memory"] else plan["rows_max"]
    assert len(before | mates) >= room, (number, played)


def _is_never_forgotten(plan: dict[str, Any], played: dict[str, Any], number: int) -> None:
    """Between two steps of a row the others get at most two of the longest steps each."""
    own = sorted({call["tick"] for call in played["calls"] if number in call["seeds"]})
    longest = plan["rows_max"] * max(STEP_SECONDS.values())
    shapes = len({_shape(plan, one) for one in range(1, len(plan["rows"]) + 1)})
    for first, second in itertools.pairwise(own):
        between = {call["tick"]: call for call in played["calls"] if first < call["tick"] < second}
        seconds = sum(STEP_SECONDS[one["model"]] * len(one["seeds"]) for one in between.values())
        assert seconds <= 2 * longest * max(shapes - 1, 0), (number, played)


def _bounded(plan: dict[str, Any], played: dict[str, Any]) -> None:
    assert played["active"] <= plan["rows_max"]
    assert max((len(call["seeds"]) for call in played["calls"]), default=0) <= plan["rows_max"]
    assert played["waiting"] <= plan["waiting_max"]
    assert played["left"] == 0
    assert played["excess"] <= 0
    assert all(told["full"] for told in played["rows"] if told["outcome"] == "OVERLOADED")
    arrivals = max(row["at"] for row in plan["rows"]) + 1
    loading = played["begun"] * (plan["load_ticks"] + 1)
    assert played["ticks"] <= arrivals + sum(row["steps"] for row in plan["rows"]) + loading + 1
