"""What a loop has done for each model, counted for whoever watches it. Standard library only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace

from inference.engine.status import ModelStatus


class Tally:
    """Counts on the loop's thread; read from any, where being a step behind does no harm."""

    def __init__(self) -> None:
        self._steps: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._halvings: Counter[str] = Counter()

    def stepped(self, model: str, seconds: float) -> None:
        """Counts one step of one model."""
        self._steps[model] += 1
        self._seconds[model] += seconds

    def halved(self, model: str) -> None:
        """Counts a step for which memory was short."""
        self._halvings[model] += 1

    def told(
        self, statuses: Mapping[str, ModelStatus], waiting: Mapping[str, int]
    ) -> dict[str, ModelStatus]:
        """Returns statuses with what was counted.

        Args:
            statuses: By model.
            waiting: Rows in line, by model.
        """
        return {
            name: replace(
                one,
                waiting=waiting.get(name, 0),
                steps=self._steps[name],
                step_seconds=self._seconds.get(name, 0.0),
                halvings=self._halvings[name],
            )
            for name, one in statuses.items()
        }
