"""One step of rows of one shape: what fails, fails one row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch

from inference.engine import recovery
from inference.engine.caps import Caps
from inference.engine.errors import EngineError, ModelFailed
from inference.engine.loop import Pulse
from inference.engine.models.model import Model
from inference.engine.models.row import Row, Shape
from inference.engine.request import Progress
from inference.engine.sampling.registry import Installed
from inference.engine.tally import Tally

log = logging.getLogger(__name__)

PREVIEW_EVERY_STEPS = 2


class Stepper:
    """Takes rows through the denoiser, and tells their watchers.

    Args:
        tally: Counts the steps.
        pulse: Of the loop's thread.
        clock: Seconds, monotonic.
        shows: Whether rows may show previews; not while pictures are checked, for nobody checks
            those.
    """

    def __init__(self, tally: Tally, pulse: Pulse, clock: Callable[[], float], shows: bool) -> None:
        self._tally, self._pulse, self._clock, self._shows = tally, pulse, clock, shows
        self._caps: Caps[Shape] = Caps()

    def cap(self, shape: Shape, found: Installed) -> int:
        """How many rows of a shape are sampled at once."""
        return self._caps.of(shape, found.profile.rows_max)

    def advance(self, found: Installed, rows: Sequence[Row]) -> list[Row]:
        """Does one step and returns the rows that lived through it."""
        if not rows:
            return []
        began = self._clock()
        stepped = [
            row
            for row, prediction in zip(rows, self._predict(found, rows), strict=True)
            if self._stepped(row, prediction)
        ]
        sound = recovery.each(_sound, stepped, found.model.clear_cache) if stepped else []
        for row, is_sound in zip(stepped, sound, strict=True):
            if isinstance(is_sound, EngineError):
                row.fail(is_sound)
            elif not is_sound:
                row.fail(ModelFailed("the model gave numbers that are no picture"))
            else:
                self._report(found.model, row)
        self._tally.stepped(found.model.name, self._clock() - began)
        return [row for row in stepped if not row.ended]

    def _predict(self, found: Installed, rows: Sequence[Row]) -> list[torch.Tensor | EngineError]:
        """Asks the denoiser, as many rows at once as memory suffices for."""
        most = self.cap(rows[0].shape, found)
        parts = [rows[at : at + most] for at in range(0, len(rows), most)]
        return [one for part in parts for one in self._predict_part(found, part)]

    def _predict_part(
        self, found: Installed, rows: Sequence[Row]
    ) -> list[torch.Tensor | EngineError]:
        model = found.model

        def predict(some: Sequence[Row]) -> list[torch.Tensor]:
            self._pulse.beat(found.profile.stall_seconds)
            return model.predict(some)

        predictions, memory_short = recovery.each_within(
            self._caps, rows[0].shape, found.profile.rows_max, predict, rows, model.clear_cache
        )
        if memory_short:
            self._tally.halved(model.name)
        return predictions

    def _stepped(self, row: Row, prediction: torch.Tensor | EngineError) -> bool:
        """Advances a row; once only, because its scheduler may have moved on when it raises."""
        if isinstance(prediction, EngineError):
            row.fail(prediction)
            return False
        try:
            row.advance(prediction)
        except Exception as error:
            log.warning("a scheduler failed", exc_info=True)
            row.fail(ModelFailed(f"the scheduler failed: {type(error).__name__}"))
            return False
        return True

    def _report(self, model: Model, row: Row) -> None:
        due = row.index % PREVIEW_EVERY_STEPS == 0 and not row.done
        preview = b""
        if due and self._shows and row.request.previews:
            preview = _preview(model, row)
        row.watcher.progress(Progress(row.index, row.schedule.count, preview))


def _preview(model: Model, row: Row) -> bytes:
    """Draws a preview; a picture does not fail for the want of one."""
    try:
        return model.previews.jpeg(row.guess, *row.shape.size)
    except Exception:
        log.warning("a preview failed", exc_info=True)
        return b""


def _sound(rows: Sequence[Row]) -> list[bool]:
    """Which rows still hold finite numbers: a NaN would become a black picture."""
    with torch.inference_mode():
        stacked = torch.cat([row.latents for row in rows])
        flags: list[bool] = stacked.isfinite().flatten(1).all(1).tolist()
    return flags
