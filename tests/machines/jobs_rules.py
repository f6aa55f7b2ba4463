"""The rows of the jobs' model, and its rules about claims and retries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.machines.stage import Violation

ATTEMPTS_MAX = 3
INFRA_FAILURES_MAX = 5
BACKOFF_SECONDS_MAX = 300.0


@dataclass
class Item:
    """One output; ``run_at`` is a range until the database has said which second of it."""

    number: int
    job: int
    category: str
    pool: str
    price: int
    state: str = "created"
    attempts: int = 0
    infra_failures: int = 0
    token: int | None = None
    lease_until: float | None = None
    run_from: float = 0.0
    run_to: float = 0.0
    tag: float = 0.0
    cancel_requested: bool = False
    progress: int = 0


@dataclass
class Job:
    """One submission."""

    user: int
    items: list[int]
    state: str = "created"
    cancel_requested: bool = False


@dataclass
class Money:
    """What the ledger knows of an item."""

    user: int
    price: int
    outcome: str | None = None


def check_claim(
    items: Mapping[int, Item],
    limits: Mapping[str, tuple[int, int]],
    claimed: Sequence[Sequence[int]],
    eligible: set[int],
    slots: int,
    *,
    exact: bool,
) -> None:
    """Checks that a claim stays within every limit and, if exact, takes all it may, in order.

    Raises:
        Violation: It does not.
    """
    chosen = {number for number, _, _ in claimed}
    if len(chosen) != len(claimed) or not chosen <= eligible or len(chosen) > slots:
        raise Violation("answer", f"claimed {claimed}, {slots} of {eligible} were possible")
    possible = 0
    for category, (workers_max, _) in limits.items():
        of_category = {number for number, item in items.items() if item.category == category}
        running = [1 for number in of_category if items[number].state == "running"]
        free = max(0, workers_max - len(running))
        mine, others = chosen & of_category, (eligible - chosen) & of_category
        if len(mine) > free:
            raise Violation("limit", f"{category} has room for {free}, claimed {claimed}")
        if exact and mine and others:
            _check_order([items[n].tag for n in mine], [items[n].tag for n in others])
        possible += min(free, len(mine | others))
    if exact and len(chosen) != min(slots, possible):
        raise Violation("answer", f"claimed {claimed} where {possible} were possible")


def _check_order(taken: Sequence[float], left: Sequence[float]) -> None:
    if max(taken) > min(left):
        raise Violation("fairness", f"tags {taken} were taken before {left}")


def delay(how: str, attempts: int, infra_failures: int) -> float | None:
    """Returns the longest delay of the next attempt; None where there is none."""
    if how == "user":
        return None
    if how == "infra" and infra_failures < INFRA_FAILURES_MAX:
        return min(BACKOFF_SECONDS_MAX, 2.0**infra_failures)
    counted = attempts - min(infra_failures, INFRA_FAILURES_MAX)
    return None if counted >= ATTEMPTS_MAX else min(BACKOFF_SECONDS_MAX, 2.0 ** (counted - 1))
