"""Continuous batching: rows join and leave between steps, whatever they were asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from inference.engine import recovery
from inference.engine.errors import (
    Canceled,
    ModelFailed,
    Overloaded,
    SamplingTimeout,
)
from inference.engine.registry import Installed, Registry
from inference.engine.request import ImageRequest, Picture, Progress, Watcher
from inference.engine.row import Row, Shape

log = logging.getLogger(__name__)

WAITING_MAX = 64
RETRY_AFTER_SECONDS_MIN, RETRY_AFTER_SECONDS_MAX = 1.0, 60.0
SWEEP_SECONDS = 0.25
PREVIEW_EVERY_STEPS = 2


@dataclass(eq=False)
class _Waiting:
    request: ImageRequest
    watcher: Watcher
    installed: Installed


class Engine:
    """The step loop of one device.

    A step takes the rows of one shape through the denoiser in one call. Shapes take turns, the one
    least recently stepped first, so that every row gets as many steps as any other. At most
    ``profile.rows_max`` rows of a shape are sampled at once, the next wait in line.

    Args:
        registry: The models.
        waiting_max: Rows that may wait to be sampled.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        registry: Registry,
        waiting_max: int = WAITING_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._waiting_max = waiting_max
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._active: dict[Shape, list[Row]] = {}  # in the order of their turns
        self._caps: dict[Shape, int] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._swept_at = clock()

    def submit(self, request: ImageRequest, watcher: Watcher) -> None:
        """Puts a row in line; from any thread. The watcher hears the rest.

        Raises:
            InvalidRequest: A field is not valid.
            UnknownModel: No such model is installed.
            ModelFailed: The model could not be loaded.
            Overloaded: Too many rows wait; says when to come back.
        """
        request.check()
        installed = self._registry.get(request.model)
        with self._changed:
            if len(self._waiting) >= self._waiting_max:
                delay = self._delay_seconds(installed)
                raise Overloaded("too many pictures wait", retry_after_seconds=delay)
            self._waiting.append(_Waiting(request, watcher, installed))
            self._changed.notify()

    def run(self) -> None:
        """Steps until :meth:`close`; rows that are left then fail."""
        while not self._closed:
            try:
                busy = self.step()
            except Exception:
                # A fault of the loop itself: nobody may wait for rows that it has lost sight of.
                log.exception("a step failed")
                self._abandon()
                continue
            if not busy:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closed)
        self._abandon()

    def close(self) -> None:
        """Ends :meth:`run` after the step at hand."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def step(self) -> bool:
        """Does one step of one shape; False: there was nothing to do."""
        self._admit()
        if not self._active:
            return False
        shape = next(iter(self._active))
        rows = self._advance([row for row in self._active[shape] if self._wanted(row)])
        self._finish([row for row in rows if row.done])
        del self._active[shape]
        left = [row for row in rows if not row.done]
        if left:
            self._active[shape] = left  # behind the others
        return True

    def _admit(self) -> None:
        """Moves waiting rows into batches that have room, first come first served per shape."""
        with self._changed:
            waiting = list(self._waiting)
        sweep = self._clock() - self._swept_at >= SWEEP_SECONDS
        if sweep:
            self._swept_at = self._clock()
        for entry in waiting:
            model = entry.installed.model
            shape = model.shape(entry.request.aspect)
            room = len(self._active.get(shape, ())) < self._cap(shape, entry.installed)
            if not (room or sweep):
                continue
            if entry.watcher.cancelled():
                self._leave_line(entry)
                entry.watcher.failed(Canceled("canceled while it waited"))
            elif room:
                self._leave_line(entry)
                self._begin(entry, shape)

    def _leave_line(self, entry: _Waiting) -> None:
        with self._changed:
            self._waiting.remove(entry)

    def _begin(self, entry: _Waiting, shape: Shape) -> None:
        model, began = entry.installed.model, self._clock()
        made = recovery.each(
            lambda entries: [model.row(one.request, one.watcher, began) for one in entries],
            [entry],
            model.clear_cache,
        )[0]
        if isinstance(made, ModelFailed):
            entry.watcher.failed(made)
        else:
            self._active.setdefault(shape, []).append(made)

    def _wanted(self, row: Row) -> bool:
        """Whether a row goes on; tells its watcher where it does not."""
        if row.watcher.cancelled():
            log.info("canceled after %d of %d steps", row.index, row.schedule.count)
            row.fail(Canceled("canceled by the caller"))
            return False
        limit = row.request.timeout_seconds
        if self._clock() - row.began > limit:
            row.fail(SamplingTimeout(f"sampling took longer than {limit:g} s"))
            return False
        return True

    def _advance(self, rows: Sequence[Row]) -> list[Row]:
        """Does one step and returns the rows that lived through it."""
        if not rows:
            return []
        model = self._registry.get(rows[0].shape.model).model
        memory_short = False

        def clear() -> None:
            nonlocal memory_short
            memory_short = True
            model.clear_cache()

        predictions = recovery.each(model.predict, rows, clear)
        if memory_short:
            self._caps[rows[0].shape] = max(1, len(rows) // 2)
        stepped = [
            row
            for row, prediction in zip(rows, predictions, strict=True)
            if self._stepped(row, prediction)
        ]
        sound = _sound(stepped)
        for row, is_sound in zip(stepped, sound, strict=True):
            if not is_sound:
                row.fail(ModelFailed("the model gave numbers that are no picture"))
            else:
                self._report(row)
        return [row for row, is_sound in zip(stepped, sound, strict=True) if is_sound]

    def _stepped(self, row: Row, prediction: torch.Tensor | ModelFailed) -> bool:
        if not isinstance(prediction, ModelFailed):
            failures = recovery.each(
                lambda rows: [rows[0].advance(prediction)], [row], lambda: None
            )
            if failures[0] is None:
                return True
            prediction = failures[0]
        row.fail(prediction)
        return False

    def _report(self, row: Row) -> None:
        preview = b""
        due = row.index % PREVIEW_EVERY_STEPS == 0 and not row.done
        if row.request.previews and due:
            model = self._registry.get(row.shape.model).model
            preview = model.previews.jpeg(row.guess, *row.shape.size)
        row.watcher.progress(Progress(row.index, row.schedule.count, preview))

    def _finish(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        model = self._registry.get(rows[0].shape.model).model
        for row, pixels in zip(
            rows, recovery.each(model.decode, rows, model.clear_cache), strict=True
        ):
            if isinstance(pixels, ModelFailed):
                row.fail(pixels)
            elif pixels is None:
                row.fail(ModelFailed("the decoder gave numbers that are no picture"))
            else:
                row.finish(
                    Picture(
                        pixels,
                        row.shape.model,
                        row.request.seed,
                        row.schedule.count,
                        row.guidance_scale,
                        self._clock() - row.began,
                    )
                )

    def _cap(self, shape: Shape, installed: Installed) -> int:
        return self._caps.get(shape, installed.profile.rows_max)

    def _delay_seconds(self, installed: Installed) -> float:
        """When the line will have moved on, by the speed measured at the start."""
        per_row = installed.profile.row_step_seconds * installed.model.defaults.steps
        seconds = per_row * len(self._waiting)
        return min(max(seconds, RETRY_AFTER_SECONDS_MIN), RETRY_AFTER_SECONDS_MAX)

    def _abandon(self) -> None:
        """Fails every row."""
        with self._changed:
            waiting, active = list(self._waiting), list(self._active.values())
            self._waiting.clear()
        self._active.clear()
        stopped = ModelFailed("the engine has stopped")
        for entry in waiting:
            entry.watcher.failed(stopped)
        for row in (row for rows in active for row in rows):
            row.fail(stopped)


def _sound(rows: Sequence[Row]) -> list[bool]:
    """Which rows still hold finite numbers: a NaN would become a black picture."""
    if not rows:
        return []
    with torch.inference_mode():
        stacked = torch.cat([row.latents for row in rows])
        flags: list[bool] = stacked.isfinite().flatten(1).all(1).tolist()
    return flags
