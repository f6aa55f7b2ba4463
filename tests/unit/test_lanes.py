"""The lanes that tests run in beside each other."""

from __future__ import annotations

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
