"""The lanes that tests run in beside each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.layout import ROOT
from tests.lanes import LONG, first_of, group


@pytest.mark.parametrize("name", LONG[1:])
def test_what_takes_long_is_a_group_of_tests(name: str) -> None:
    path = ROOT / name
    tests = [path] if path.is_file() else sorted(path.glob("test_*.py"))
    assert {group(f"{test.relative_to(ROOT)}::test_it") for test in tests} == {name}


def test_what_takes_long_is_begun_first_however_few_tests_it_has() -> None:
    largest_first = ["tests/unit/kit", LONG[2], "tests/unit/works", LONG[1]]
    assert first_of(largest_first) == LONG[1]
    assert first_of(["tests/unit/kit", "tests/unit/works"]) == "tests/unit/kit"


def test_a_test_that_takes_its_lane_down_fails_once_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests.lanes import Lanes\n"
        "def pytest_xdist_make_scheduler(config, log):\n    return Lanes(config, log)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"test_{name}.py").write_text(
            "import os\n"
            "def test_before(): pass\n"
            "def test_fatal(): os._exit(1)\n"
            "def test_after(): pass\n"
        )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--rootdir", tmp_path, tmp_path],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert "2 failed, 4 passed" in ran.stdout.splitlines()[-1], ran.stdout
