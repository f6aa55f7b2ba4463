"""What the engine's pings say, as metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from atelier.inference.v1.inference_pb2 import Model, ModelState
from prometheus_client import Counter

from inference.engine.status import ModelStatus
from kit import metrics

_STATE = "MODEL_STATE_"
_NAMES = [name for name in ModelState.keys() if name != f"{_STATE}UNSPECIFIED"]  # noqa: SIM118
_COUNTED: Mapping[str, Counter] = {
    "steps": metrics.MODEL_STEPS,
    "step_seconds": metrics.MODEL_STEP_SECONDS,
    "halvings": metrics.MODEL_HALVINGS,
    "loads": metrics.MODEL_LOADS,
}


class Shown:
    """Knows how much of what the engine has counted is shown already."""

    def __init__(self) -> None:
        self._counted: defaultdict[tuple[str, str], float] = defaultdict(float)

    def models(self, models: Iterable[Model], told: Mapping[str, ModelStatus]) -> None:
        """Shows how models are.

        Args:
            models: As they are told to others.
            told: By the engine itself, by name; nothing where it does not answer.
        """
        known = {model.name: model.state for model in models}
        _states(known)
        for name in known:
            one = told.get(name, ModelStatus(""))
            metrics.MODEL_ROWS.labels(name).set(one.rows)
            metrics.MODEL_ROWS_WAITING.labels(name).set(one.waiting)
            metrics.MODEL_BYTES.labels(name).set(one.size_bytes)
            if name in told:
                self._count(name, one)

    def _count(self, name: str, told: ModelStatus) -> None:
        """Adds what is new; an engine that was started anew begins at nothing."""
        for field, counter in _COUNTED.items():
            now, before = float(getattr(told, field)), self._counted[name, field]
            counter.labels(name).inc(now - before if now >= before else now)
            self._counted[name, field] = now


def _states(known: Mapping[str, ModelState.ValueType]) -> None:
    """Shows which state each model or segmenter is in."""
    for name, state in known.items():
        current = ModelState.Name(state)
        for each in _NAMES:
            label = each.removeprefix(_STATE).lower()
            metrics.MODEL_STATE.labels(name, label).set(float(each == current))
