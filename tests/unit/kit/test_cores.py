"""How many cores a process may use is what it is let run on, and never more than its quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit.cores import cores


@pytest.mark.parametrize(
    ("said", "expected"),
    [("100000 100000", 1), ("20000 100000", 1), ("150000 100000", 2), ("9900000 100000", None)],
)
def test_a_quota_of_time_is_rounded_up_to_cores(
    tmp_path: Path, said: str, expected: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(said)
    let = len(os.sched_getaffinity(0))
    assert cores(tmp_path) == min(let, expected or let)


@pytest.mark.parametrize("said", ["max 100000", "", "5", "1 0"])
def test_without_a_quota_it_is_what_the_process_is_let_run_on(tmp_path: Path, said: str) -> None:
    (tmp_path / "cpu.max").write_text(said)
    assert cores(tmp_path) == len(os.sched_getaffinity(0))
    assert cores(tmp_path / "nowhere") == len(os.sched_getaffinity(0))


def test_the_older_control_groups_say_it_in_two_files(tmp_path: Path) -> None:
    folder = tmp_path / "cpu"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text("50000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == 1
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores(tmp_path) == len(os.sched_getaffinity(0))


def test_fewer_cores_that_it_is_let_run_on_are_fewer() -> None:
    let = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(let)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, let)
