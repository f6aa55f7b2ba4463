"""How many rows one step should take: the card is asked, once, while the model warms up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from inference.engine.errors import EngineError
from inference.engine.models.model import Model
from inference.engine.recovery import short_of_memory
from inference.engine.request import ImageRequest, Picture, Progress

log = logging.getLogger(__name__)

ROWS_MAX = {"cuda": 32, "cpu": 8}
ROWS_MIN = 2
KNEE_GAIN = 1.15
_REPEATS = 3


@dataclass(frozen=True)
class Profile:
    """What one step costs.

    Attributes:
        rows_max: Rows of one shape beyond which more only add delay.
        row_step_seconds: Of the card for one row's step at that many rows.
        measured: How many seconds a step of so many rows took, by rows; may be empty.
    """

    rows_max: int
    row_step_seconds: float
    measured: tuple[tuple[int, float], ...] = ()

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


def measure(model: Model) -> Profile:
    """Profiles a model, which warms it up too.

    The first call of every number of rows is several times slower than the rest, so that it is made
    here.
    """
    limit = ROWS_MAX[model.device.type]
    found = find_knee(lambda rows: _step_seconds(model, rows), limit, model.clear_cache)
    log.info(
        "%s: %d rows per step, %.4f s each", model.name, found.rows_max, found.row_step_seconds
    )
    return found


def find_knee(
    step_seconds: Callable[[int], float], limit: int, clear_cache: Callable[[], None]
) -> Profile:
    """Doubles the rows of a step until that brings less than 15 % more rows per second.

    Args:
        step_seconds: Makes a step of so many rows and says how long it took.
        limit: Rows at most.
        clear_cache: Called where memory was short.

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
        if gain < KNEE_GAIN:
            break
        rows *= 2
    # At least two, so that one row never waits for another to end; never more than fitted.
    rows_max = max(best.rows_max, min(ROWS_MIN, measured[-1][0]))
    return Profile(rows_max, best.row_step_seconds, tuple(measured))


def _step_seconds(model: Model, count: int) -> float:
    request = ImageRequest("a warm-up", steps=1, guidance_scale=2.0)
    rows = [model.row(request, _Nobody(), 0.0) for _ in range(count)]
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        predictions = model.predict(rows)
        predictions[-1].cpu()  # waits for the card
        seconds.append(time.perf_counter() - began)
    for row, prediction in zip(rows, predictions, strict=True):
        row.advance(prediction)
    model.decode(rows[:1])
    return min(seconds)
