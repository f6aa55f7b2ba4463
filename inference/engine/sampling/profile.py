"""How many rows one step should take: the card is asked, once, while the model warms up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from inference.engine.errors import EngineError
from inference.engine.loop import STALL_SECONDS
from inference.engine.models.model import Model
from inference.engine.recovery import short_of_memory
from inference.engine.request import ImageRequest, Picture, Progress

log = logging.getLogger(__name__)

ROWS_MAX = {"cuda": 32, "cpu": 8}
ROWS_MIN = 2
KNEE_GAIN = 1.15
_REPEATS = 3
_STALL_FACTOR = 10


@dataclass(frozen=True)
class Profile:
    """What one step costs.

    Attributes:
        rows_max: Rows of one shape beyond which more only add delay.
        row_step_seconds: Of the card for one row's step at that many rows.
        measured: How many seconds a step of so many rows took, by rows; may be empty.
        longest_seconds: The longest of all that was measured, the first calls and the decoder too.
    """

    rows_max: int
    row_step_seconds: float
    measured: tuple[tuple[int, float], ...] = ()
    longest_seconds: float = 0.0

    @property
    def stall_seconds(self) -> float:
        """After how long a call will not end any more: two minutes, or more on a slow machine."""
        return max(STALL_SECONDS, _STALL_FACTOR * self.longest_seconds)

    def step_seconds(self, rows: int) -> float:
        """Predicts a step of so many rows from the next greater number that was measured."""
        greater = (seconds for measured, seconds in self.measured if measured >= rows)
        return next(greater, rows * self.row_step_seconds)


class _Nobody:
    def cancelled(self) -> bool:
        return False

    def progress(self, progress: Progress) -> None: ...

    def finished(self, picture: Picture) -> None: ...

    def failed(self, error: EngineError) -> None: ...


def measure(model: Model, beat: Callable[[], None] = lambda: None) -> Profile:
    """Profiles a model, which warms it up too.

    The first call of every number of rows is several times slower than the rest, so that it is made
    here. Rows of other models may be in flight meanwhile, whose memory is not touched.

    Args:
        model: Loaded.
        beat: Called before every call of the model.
    """
    probe = _Probe(model, beat)
    limit = ROWS_MAX[model.device.type]
    found = find_knee(probe.step_seconds, limit, model.clear_cache, probe.has_room)
    found = replace(found, longest_seconds=probe.longest_seconds)
    log.info(
        "%s: %d rows per step, %.4f s each", model.name, found.rows_max, found.row_step_seconds
    )
    return found


def find_knee(
    step_seconds: Callable[[int], float],
    limit: int,
    clear_cache: Callable[[], None],
    has_room: Callable[[], bool] = lambda: True,
) -> Profile:
    """Doubles the rows of a step until that brings less than 15 % more rows per second.

    Args:
        step_seconds: Makes a step of so many rows and says how long it took.
        limit: Rows at most.
        clear_cache: Called where memory was short.
        has_room: Whether a step of twice the rows would fit into memory that nobody uses.

    Raises:
        torch.OutOfMemoryError: Not even one row fits.
    """
    rows, best = 1, Profile(1, float("inf"))
    measured: list[tuple[int, float]] = []
    while rows <= limit:
        try:
            measured.append((rows, step_seconds(rows)))
        except Exception as error:
            if not short_of_memory(error) or rows == 1:
                raise
            clear_cache()
            break
        seconds = measured[-1][1] / rows
        gain = best.row_step_seconds / seconds
        if gain > 1:
            best = Profile(rows, seconds)
        if gain < KNEE_GAIN or not has_room():
            break
        rows *= 2
    # At least two, so that one row never waits for another to end; never more than fitted.
    rows_max = max(best.rows_max, min(ROWS_MIN, measured[-1][0]))
    return Profile(rows_max, best.row_step_seconds, tuple(measured))


class _Probe:
    """Makes steps, and remembers what they took.

    Attributes:
        longest_seconds: The longest call.
    """

    def __init__(self, model: Model, beat: Callable[[], None]) -> None:
        self._model = model
        self._beat = beat
        self._bytes = 0
        self.longest_seconds = 0.0

    def step_seconds(self, count: int) -> float:
        """Makes a step of so many rows and decodes one; the seconds of the step."""
        request = ImageRequest("a warm-up", steps=1, guidance_scale=2.0)
        rows = [self._model.row(request, _Nobody(), 0.0) for _ in range(count)]
        before = self._watch()
        predictions, seconds = self._timed(lambda: self._model.predict(rows), _REPEATS)
        self._bytes = self._watch() - before
        for row, prediction in zip(rows, predictions, strict=True):
            row.advance(prediction)
        self._timed(lambda: [self._model.decode(rows[:1])], 1)
        return seconds

    def has_room(self) -> bool:
        """Whether the card has as much to spare as the last step took, for one of twice the rows.

        What rows of other models took meanwhile is counted as ours, which errs on their side.
        Without a card nothing tells what a step takes.
        """
        if self._model.device.type != "cuda":
            return True
        return torch.cuda.mem_get_info(self._model.device)[0] >= self._bytes

    def _watch(self) -> int:
        """The most memory since the last call."""
        if self._model.device.type != "cuda":
            return 0
        most = torch.cuda.max_memory_allocated(self._model.device)
        torch.cuda.reset_peak_memory_stats(self._model.device)
        return most

    def _timed(self, call: Callable[[], list[Any]], repeats: int) -> tuple[list[Any], float]:
        """Calls several times; what the last one gave, and the least time."""
        seconds = []
        for _ in range(repeats):
            self._beat()
            began = time.perf_counter()
            made = call()
            if isinstance(made[-1], torch.Tensor):
                made[-1].cpu()  # waits for the card
            seconds.append(time.perf_counter() - began)
        self.longest_seconds = max(self.longest_seconds, *seconds)
        return made, min(seconds)
