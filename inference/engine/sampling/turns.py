"""Whose turn it is on the card. Standard library only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Turns(Generic[Key]):
    """Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) by predicted seconds.

    Everybody gets the same seconds of the card, not the same number of steps, so that a short step
    need not wait a long one out for each of its own. Whoever is new goes first once: a picture
    begins at the next step. Between two turns of one, no other gets more than twice the longest
    step's seconds.
    """

    def __init__(self) -> None:
        self._deficits: OrderedDict[Key, float] = OrderedDict()  # seconds, in the order of turns
        self._away: set[Key] = set()

    def next(self, costs: Mapping[Key, float]) -> Key:
        """Chooses who is next.

        Args:
            costs: For everybody who wants a turn, how many seconds it would take; not empty.
        """
        self._away -= costs.keys()
        for key, cost in costs.items():
            if key not in self._deficits:
                self._deficits[key] = cost
                self._deficits.move_to_end(key, last=False)
        quantum = max(costs.values())
        while True:
            key, deficit = next(iter(self._deficits.items()))
            if key not in costs:
                self._pass_over(key)
            elif deficit >= costs[key]:
                self._deficits[key] = deficit - costs[key]
                return key
            else:
                self._deficits[key] = deficit + quantum
                self._deficits.move_to_end(key)

    def _pass_over(self, key: Key) -> None:
        """Forgets who is away for a whole round: else whoever leaves and returns is always new."""
        if key in self._away:
            self._away.remove(key)
            del self._deficits[key]
        else:
            self._away.add(key)
            self._deficits[key] = 0.0
            self._deficits.move_to_end(key)
