"""Ends of jobs, and attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain import (
    FINAL,
    ITEM_TRANSITIONS,
    FailureClass,
    RetryPolicy,
    State,
    job_end,
    mean_progress,
)


@pytest.mark.parametrize(
    ("items", "end"),
    [
        ([State.SUCCEEDED, State.FAILED, State.CANCELED], State.SUCCEEDED),
        ([State.FAILED, State.CANCELED], State.FAILED),
        ([State.CANCELED, State.EXPIRED], State.CANCELED),
        ([State.EXPIRED], State.EXPIRED),
        ([State.SUCCEEDED, State.RUNNING], None),
        ([State.QUEUED], None),
    ],
)
def test_a_job_ends_as_its_items_did(items: list[State], end: State | None) -> None:
    assert job_end(items) is end


def test_nothing_follows_a_final_state() -> None:
    assert {State.SUCCEEDED, State.FAILED, State.CANCELED, State.EXPIRED} == FINAL
    assert all(not ITEM_TRANSITIONS[state] for state in FINAL)


def test_the_callers_fault_is_never_tried_again() -> None:
    assert RetryPolicy().delay(FailureClass.USER, 1, 0, 0.5) is None


def test_failures_of_machines_do_not_use_up_attempts() -> None:
    policy = RetryPolicy(attempts_max=1, infra_failures_max=3)
    for failures in range(3):
        assert policy.delay(FailureClass.INFRA, failures + 1, failures, 0.5) is not None
    assert policy.delay(FailureClass.INFRA, 4, 3, 0.5) is None


def test_a_server_that_is_away_gets_more_and_more_time_to_come_back() -> None:
    delays = [RetryPolicy().delay(FailureClass.INFRA, n + 1, n, 0.5) for n in range(5)]
    assert delays == [0.5, 1, 2, 4, 8]


@given(
    failure=st.sampled_from(list(FailureClass)),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_whatever_fails_attempts_come_to_an_end(failure: FailureClass, jitter: float) -> None:
    policy = RetryPolicy()
    attempts, infra = 0, 0
    while True:
        attempts += 1
        delay = policy.delay(failure, attempts, infra, jitter)
        if delay is None:
            break
        assert 0 <= delay <= policy.backoff_seconds_max
        infra += failure is FailureClass.INFRA
    assert attempts <= policy.attempts_max + policy.infra_failures_max


@given(st.lists(st.tuples(st.sampled_from(list(State)), st.integers(0, 99)), min_size=1))
def test_progress_is_full_only_when_every_item_is_final(items: list[tuple[State, int]]) -> None:
    progress = mean_progress(items)
    assert 0 <= progress <= 100
    if progress == 100:
        assert all(state in FINAL for state, _ in items)
