"""Work on threads that is given up: it stops, and what it holds is counted until it has."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from inference.api.budget import Budget
from inference.api.together import on_a_thread
from inference.engine.errors import Canceled
from inference.engine.rules import files as rule_files
from inference.engine.rules.files import apply_to_file
from tests.unit.inference.test_rule_files import RULE, given


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_who_gives_work_up_gives_its_bytes_back_when_the_thread_has_stopped(
    threads: ThreadPoolExecutor,
) -> None:
    budget, begun, stopped, goes_on = Budget(100), *(threading.Event() for _ in range(3))

    def work() -> None:
        begun.set()
        stopped.wait()
        goes_on.wait()
        raise Canceled("canceled by the caller")

    async def call() -> None:
        async with budget.share(80):
            await on_a_thread(threads, work, stopped)

    calling = asyncio.create_task(call())
    await asyncio.to_thread(begun.wait)
    calling.cancel()
    await asyncio.to_thread(stopped.wait)
    held, given_up = budget.bytes_free, calling.done()
    goes_on.set()
    assert not given_up
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (held, budget.bytes_free) == (20, 100)


async def test_work_that_has_not_begun_when_it_is_given_up_never_begins(
    threads: ThreadPoolExecutor,
) -> None:
    goes_on, done = threading.Event(), list[str]()
    first = threads.submit(goes_on.wait)
    stopped = threading.Event()
    waiting = asyncio.create_task(on_a_thread(threads, lambda: done.append("late"), stopped))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    goes_on.set()
    assert first.result()
    assert await on_a_thread(threads, lambda: done.append("next"), threading.Event()) is None
    assert done == ["next"]


async def test_a_result_and_a_failure_come_as_they_are(threads: ThreadPoolExecutor) -> None:
    assert await on_a_thread(threads, lambda: 8, threading.Event()) == 8
    with pytest.raises(ZeroDivisionError):
        await on_a_thread(threads, lambda: 1 / 0, threading.Event())


def test_a_rule_that_is_given_up_ends_before_its_next_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    for name in ("encode_png", "encode_jpeg"):
        whole = getattr(rule_files.pictures, name)
        monkeypatch.setattr(
            rule_files.pictures,
            name,
            lambda *given, name=name, whole=whole: (made.append(name), whole(*given))[1],
        )

    def run(stops_at: int) -> int:
        """Which question after whether to stop was the last."""
        asked = itertools.count(1)
        made.clear()
        with suppress(Canceled):
            apply_to_file(given(), RULE, 90, lambda: next(asked) == stops_at)
        return next(asked) - 1

    questions = run(0)
    ends = []
    for question in range(1, questions + 1):
        assert run(question) == question
        ends.append(len(made))
    assert ends == sorted(ends)
    assert ends[0] == 0
    assert ends.count(0) > len(RULE.changes)
    assert set(ends) == {0, 1, 2}
