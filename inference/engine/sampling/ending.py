"""How a row ends: decoded, checked, handed over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from inference.engine import recovery
from inference.engine.errors import CheckFailed, ContentFiltered, EngineError, ModelFailed
from inference.engine.loop import Pulse
from inference.engine.models.row import Row
from inference.engine.request import Picture
from inference.engine.safety.port import Check, Verdict
from inference.engine.sampling.registry import Installed

log = logging.getLogger(__name__)


class Ending:
    """Ends rows whose steps are done.

    Args:
        check: Judges every picture before anybody sees it.
        pulse: Of the loop's thread.
        clock: Seconds, monotonic.
    """

    def __init__(self, check: Check, pulse: Pulse, clock: Callable[[], float]) -> None:
        self._check, self._pulse, self._clock = check, pulse, clock

    def finish(self, found: Installed, rows: Sequence[Row]) -> None:
        """Ends rows; every watcher hears of its own.

        One after the other, however many are done at once: the decoder takes more memory for a
        picture than any step, and was measured with one.
        """
        for row in rows:
            self._pulse.beat(found.profile.stall_seconds)
            (pixels,) = recovery.each(found.model.decode, [row], found.model.clear_cache)
            if isinstance(pixels, EngineError):
                row.fail(pixels)
            elif pixels is None:
                row.fail(ModelFailed("the decoder gave numbers that are no picture"))
            else:
                self._hand_over(row, pixels)

    def _hand_over(self, row: Row, pixels: NDArray[np.uint8]) -> None:
        seconds = self._clock() - row.began
        verdict = self._judge(row, pixels)
        if isinstance(verdict, EngineError):
            row.fail(verdict)
            return
        name, request = row.shape.model, row.request
        steps, guidance = row.schedule.count, row.guidance_scale
        row.finish(Picture(pixels, name, request.seed, steps, guidance, seconds, verdict))

    def _judge(self, row: Row, pixels: NDArray[np.uint8]) -> Verdict | EngineError:
        try:
            verdict = self._check.judge(pixels, row.request.prompt)
        except EngineError as error:
            return error
        except Exception as error:
            log.exception("the safety check failed")
            return CheckFailed(f"the safety check failed: {type(error).__name__}")
        if not verdict.allowed:
            return ContentFiltered(f"refused by the safety check: {', '.join(verdict.flags)}")
        return verdict
