"""Who is next on the card."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.sampling.turns import Turns

COSTS = st.dictionaries(st.integers(0, 9), st.floats(0.001, 100), min_size=1, max_size=6)


@given(COSTS)
def test_everybody_gets_the_same_seconds_within_two_of_the_longest_steps(
    costs: dict[int, float],
) -> None:
    turns: Turns[int] = Turns()
    seconds: Counter[int] = Counter()
    for _ in range(400):
        chosen = turns.next(costs)
        seconds[chosen] += costs[chosen]
    spread = max(seconds[key] for key in costs) - min(seconds[key] for key in costs)
    assert spread <= 2 * max(costs.values()) + 1e-6


@given(COSTS, st.lists(st.sets(st.integers(0, 9), max_size=4), max_size=60))
def test_nobody_starves_whoever_comes_and_goes(
    costs: dict[int, float], guests: list[set[int]]
) -> None:
    turns: Turns[int] = Turns()
    others = 0.0
    for present in [*guests, *[set()] * 5]:
        wanting = {-1: 1.0} | {key: costs[key] for key in present if key in costs}
        chosen = turns.next(wanting)
        others = 0.0 if chosen == -1 else others + wanting[chosen]
        longest = max(1.0, *costs.values())
        # Each other at most its share of two rounds, and one first turn.
        assert others <= 4 * longest * len(costs)


def test_whoever_is_new_goes_first() -> None:
    turns: Turns[str] = Turns()
    present = {"quick": 1.0, "slow": 50.0}
    begun = [turns.next(present) for _ in range(20)]
    assert begun[-2:] == ["quick", "quick"]  # in the middle of a round
    assert turns.next(present | {"new": 50.0}) == "new"


def test_whoever_leaves_and_returns_is_not_new_again() -> None:
    turns: Turns[str] = Turns()
    chosen = []
    for _ in range(20):
        chosen.append(turns.next({"steady": 1.0, "guest": 1.0}))
        if chosen[-1] == "guest":
            chosen.append(turns.next({"steady": 1.0}))
    assert chosen.count("steady") >= 10
