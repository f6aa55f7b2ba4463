"""States of jobs and items, and what their ends mean. Drawn in docs/states.md."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from kit.errors import DomainError


class State(enum.StrEnum):
    """Where a job or an item stands."""

    CREATED = "created"
    UPLOADED = "uploaded"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


# Each state and the states that may follow it.
JOB_TRANSITIONS: dict[State, frozenset[State]] = {
    State.CREATED: frozenset(
        {State.UPLOADED, State.QUEUED, State.FAILED, State.CANCELED, State.EXPIRED}
    ),
    State.UPLOADED: frozenset({State.QUEUED, State.CANCELED, State.EXPIRED}),
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELED, State.EXPIRED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.EXPIRED: frozenset(),
}
# An item goes back to the queue for another attempt; its job does not.
ITEM_TRANSITIONS = {
    **JOB_TRANSITIONS,
    State.RUNNING: JOB_TRANSITIONS[State.RUNNING] | {State.QUEUED},
}
FINAL = frozenset(state for state, following in JOB_TRANSITIONS.items() if not following)


class LeaseLost(DomainError):
    """A report from a worker whose claim is over; it changes nothing."""

    reason = "LEASE_LOST"


class EventsGone(DomainError):
    """Older events were asked for than are kept."""

    reason = "EVENTS_GONE"


def job_end(items: Iterable[State]) -> State | None:
    """Returns the final state of a job by its items'; None while one is not final.

    A job succeeds if at least one item did; it failed if none did and one failed.
    """
    states = set(items)
    if not states <= FINAL:
        return None
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELED):
        if state in states:
            return state
    return State.EXPIRED


def mean_progress(items: Iterable[tuple[State, int]]) -> int:
    """Returns a job's progress, 0 to 100, by its items'; a final item is done."""
    each = [100 if state in FINAL else progress for state, progress in items]
    return sum(each) // len(each)


class FailureClass(enum.StrEnum):
    """Whether and how a failed attempt is followed by another."""

    INFRA = "infra"
    TRANSIENT = "transient"
    USER = "user"


@dataclass(frozen=True)
class RetryPolicy:
    """How often an item is tried.

    Attributes:
        attempts_max: Attempts that count.
        infra_failures_max: Failures of machines, which do not count, before they do.
        backoff_seconds: The first delay of either kind; it doubles, with full jitter.
        backoff_seconds_max: The longest delay.
    """

    attempts_max: int = 3
    infra_failures_max: int = 5
    backoff_seconds: float = 1.0
    backoff_seconds_max: float = 300.0

    def delay(
        self, failure: FailureClass, attempts: int, infra_failures: int, jitter: float
    ) -> float | None:
        """Returns seconds until the next attempt; None where there is none.

        Args:
            failure: Of this attempt.
            attempts: Attempts begun, this one included.
            infra_failures: Those of them that failed for infra before this one.
            jitter: A random number in [0, 1).
        """
        if failure is FailureClass.USER:
            return None
        if failure is FailureClass.INFRA and infra_failures < self.infra_failures_max:
            # A server that is started again needs seconds: five tries at once would all fail.
            ceiling = self.backoff_seconds * 2.0**infra_failures
            return float(jitter * min(self.backoff_seconds_max, ceiling))
        counted = attempts - min(infra_failures, self.infra_failures_max)
        if counted >= self.attempts_max:
            return None
        ceiling = self.backoff_seconds * 2.0 ** (counted - 1)
        return float(jitter * min(self.backoff_seconds_max, ceiling))
