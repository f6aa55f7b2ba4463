"""How many rows one step should take: the card is asked, once, while the model warms up."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import torch

from inference.engine.errors import EngineError
from inference.engine.model import Model
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
    """

    rows_max: int
    row_step_seconds: float


class _Nobody:
    def cancelled(self) -> bool:
        return False

    def progress(self, progress: Progress) -> None: ...

    def finished(self, picture: Picture) -> None: ...

    def failed(self, error: EngineError) -> None: ...


def measure(model: Model) -> Profile:
    """Doubles the rows of a step until that brings less than 15 % more rows per second.

    Also the warm-up: the first call of every number of rows is several times slower than the rest,
    so that it is made here.
    """
    rows, best = 1, Profile(1, float("inf"))
    while rows <= ROWS_MAX[model.device.type]:
        try:
            seconds = _step_seconds(model, rows) / rows
        except torch.OutOfMemoryError:
            model.clear_cache()
            break
        gain = best.row_step_seconds / seconds
        if gain > 1:
            best = Profile(rows, seconds)
        if gain < KNEE_GAIN:
            break
        rows *= 2
    # At least two, so that one row never waits for another to end; never more than fitted.
    found = Profile(max(best.rows_max, min(ROWS_MIN, rows)), best.row_step_seconds)
    log.info("%s: %d rows per step, %.4f s each", model.name, *vars(found).values())
    return found


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
