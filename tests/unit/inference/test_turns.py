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


@given(
    st.lists(st.sampled_from([0.05, 0.3, 1.0]), min_size=1, max_size=5),
    st.lists(st.integers(0, 31), min_size=20, max_size=60),
)
def test_nobody_starves_whoever_comes_and_goes(costs: list[float], guests: list[int]) -> None:
    turns: Turns[int] = Turns()
    others: Counter[int] = Counter()
    for present in guests:
        wanting = {-1: 0.3} | {key: cost for key, cost in enumerate(costs) if present & (1 << key)}
        chosen = turns.next(wanting)
        others[chosen] += wanting[chosen]
        if chosen == -1:
            others.clear()
        assert max(others.values(), default=0) <= 2 * max(1.0, *costs) + 1e-6


def test_whoever_comes_for_every_other_turn_holds_nobody_up() -> None:
    turns: Turns[str] = Turns()
    guest = 0
    for turn in range(100):
        wanting = {"steady": 0.3, "quick": 0.01} | ({"guest": 1.0} if turn % 2 else {})
        chosen = turns.next(wanting)
        guest = 0 if chosen == "steady" else guest + (chosen == "guest")
        assert guest <= 2


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
