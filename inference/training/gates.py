"""The gates of the bundled models: what was measured, against what, and whether it is enough."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Gate:
    """One measurement; without a limit it is told for information only.

    Attributes:
        null: The same measurement where the prompt is ignored (shuffled prompts, chance).
        ceiling: The same measurement on the truth (real renders, true masks at model resolution).
        count: How many things were measured.
    """

    name: str
    value: float
    limit: float | None = None
    at_most: bool = False
    null: float | None = None
    ceiling: float | None = None
    count: int | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the limit is kept; None without a limit."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def table(gates: Iterable[Gate]) -> str:
    """The gates as a Markdown table."""
    head = "| | value | null | ceiling | gate | met | n |\n|---|---|---|---|---|---|---|"
    return "\n".join([head, *(_row(gate) for gate in gates)])


def save_gates(path: Path, gates: Sequence[Gate]) -> None:
    """Writes the gates as JSON."""
    path.write_text(json.dumps([asdict(gate) for gate in gates], indent=1), encoding="utf-8")


def load_gates(path: Path) -> list[Gate]:
    """Reads what `save_gates` has written."""
    return [Gate(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _row(gate: Gate) -> str:
    limit = ""
    if gate.limit is not None:
        limit = f"{'≤' if gate.at_most else '≥'} {gate.limit:g}"
    met = {True: "yes", False: "NO", None: ""}[gate.is_met]
    cells = (gate.name, _number(gate.value), _number(gate.null), _number(gate.ceiling), limit, met)
    return f"| {' | '.join(cells)} | {'' if gate.count is None else gate.count} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
