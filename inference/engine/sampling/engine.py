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
    EngineError,
    ModelFailed,
    Overloaded,
    SamplingTimeout,
)
from inference.engine.models.row import Row, Shape
from inference.engine.request import ImageRequest, Progress, Watcher
from inference.engine.safety.port import Check, Off
from inference.engine.sampling.ending import Ending
from inference.engine.sampling.registry import Installed, Registry
from inference.engine.sampling.turns import Turns
from inference.engine.status import ModelStatus

log = logging.getLogger(__name__)

WAITING_MAX = 64
WAITING_BYTES_MAX = 1 << 30  # of pictures that requests bring along; one has 50 MB at most
RETRY_AFTER_SECONDS_MIN, RETRY_AFTER_SECONDS_MAX = 1.0, 60.0
SWEEP_SECONDS = 0.25
PATIENCE_SECONDS = 10.0
PREVIEW_EVERY_STEPS = 2


@dataclass(eq=False)
class _Waiting:
    request: ImageRequest
    watcher: Watcher
    name: str
    since: float


class Engine:
    """The step loop of one device.

    A step takes the rows of one shape through the denoiser in one call. Shapes take turns by the
    seconds that their steps are predicted to take (:class:`Turns`). At most ``profile.rows_max``
    rows of a shape are sampled at once, the next wait in line; the line holds still for a row that
    has waited 10 s for others' models to make room for its own.

    Args:
        registry: The models.
        waiting_max: Rows that may wait to be sampled.
        clock: Seconds, monotonic.
        check: The safety check; every picture passes it before anybody sees it.
    """

    def __init__(
        self,
        registry: Registry,
        waiting_max: int = WAITING_MAX,
        clock: Callable[[], float] = time.monotonic,
        check: Check | None = None,
    ) -> None:
        self._registry = registry
        self._registry.changed = self._wake
        self._waiting_max = waiting_max
        self._clock = clock
        self._ending = Ending(check or Off(), clock)
        self._waiting: deque[_Waiting] = deque()
        self._active: dict[Shape, list[Row]] = {}
        self._turns: Turns[Shape] = Turns()
        self._caps: dict[Shape, int] = {}
        self._in_flight: dict[str, int] = {}  # replaced whole, because other threads read it
        self._changed = threading.Condition()
        self._news = False
        self._closed = False
        self._swept_at = clock()

    def submit(self, request: ImageRequest, watcher: Watcher) -> None:
        """Puts a row in line; from any thread. The watcher hears the rest.

        Raises:
            InvalidRequest: A field is not valid.
            UnknownModel: No such model is installed.
            ModelFailed: The model could not be loaded a short while ago; says when to come back.
            Overloaded: Too many rows wait; says when to come back.
        """
        request.check()
        name = self._registry.resolve(request)
        with self._changed:
            held = sum(entry.request.picture_bytes for entry in self._waiting)
            crowded = len(self._waiting) >= self._waiting_max
            if crowded or held + request.picture_bytes > WAITING_BYTES_MAX:
                delay = self._delay_seconds(name)
                raise Overloaded("too many pictures wait", retry_after_seconds=delay)
            self._waiting.append(_Waiting(request, watcher, name, self._clock()))
        self._wake()

    def statuses(self) -> dict[str, ModelStatus]:
        """How every installed model is; from any thread."""
        return self._registry.statuses(self._in_flight)

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
                self._rest()
        self._abandon()

    def _rest(self) -> None:
        """Waits for news; where rows wait for a model, looks after them from time to time."""
        with self._changed:
            pause = SWEEP_SECONDS if self._waiting else None
            self._changed.wait_for(lambda: self._news or self._closed, pause)
            self._news = False

    def _wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify()

    def close(self) -> None:
        """Ends :meth:`run` after the step at hand."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def step(self) -> bool:
        """Does one step of one shape; False: there was nothing to do."""
        self._admit()
        did = bool(self._active)
        if did:
            shape = self._turns.next({each: self._seconds(each) for each in self._active})
            rows = self._advance([row for row in self._active[shape] if self._wanted(row)])
            model = self._registry.get(shape.model).model
            self._ending.finish(model, [row for row in rows if row.done])
            left = [row for row in rows if not row.done]
            if left:
                self._active[shape] = left
            else:
                del self._active[shape]
        self._count()
        return did

    def _count(self) -> None:
        """Writes down how many rows of each model are in flight."""
        flying: dict[str, int] = {}
        for shape, rows in self._active.items():
            flying[shape.model] = flying.get(shape.model, 0) + len(rows)
        self._in_flight = flying

    def _seconds(self, shape: Shape) -> float:
        """How long the next step of a shape is predicted to take."""
        return self._registry.get(shape.model).profile.step_seconds(len(self._active[shape]))

    def _admit(self) -> None:
        """Moves waiting rows into batches that have room, first come first served per shape."""
        with self._changed:
            waiting = list(self._waiting)
        sweep = self._clock() - self._swept_at >= SWEEP_SECONDS
        if sweep:
            self._swept_at = self._clock()
        held = False
        for entry in waiting:
            if sweep and entry.watcher.cancelled():
                self._cancel(entry)
            elif not held:
                held = not self._admit_one(entry)

    def _admit_one(self, entry: _Waiting) -> bool:
        """Begins a row if it can begin; False: nobody behind it may begin either."""
        try:
            found = self._registry.ready(entry.name, {shape.model for shape in self._active})
        except ModelFailed as error:
            self._leave_line(entry)
            entry.watcher.failed(error)
            return True
        if found is None:
            late = self._clock() - entry.since > PATIENCE_SECONDS
            return not (late and self._registry.crowded(entry.name))
        shape = found.model.shape(entry.request.aspect)
        if len(self._active.get(shape, ())) >= self._cap(shape, found):
            return True
        if entry.watcher.cancelled():
            self._cancel(entry)
        else:
            self._leave_line(entry)
            self._begin(entry, found, shape)
        return True

    def _cancel(self, entry: _Waiting) -> None:
        self._leave_line(entry)
        entry.watcher.failed(Canceled("canceled while it waited"))

    def _leave_line(self, entry: _Waiting) -> None:
        with self._changed:
            self._waiting.remove(entry)

    def _begin(self, entry: _Waiting, found: Installed, shape: Shape) -> None:
        model, began = found.model, self._clock()
        made = recovery.each(
            lambda entries: [model.row(one.request, one.watcher, began) for one in entries],
            [entry],
            model.clear_cache,
        )[0]
        if isinstance(made, EngineError):
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

    def _report(self, row: Row) -> None:
        preview = b""
        due = row.index % PREVIEW_EVERY_STEPS == 0 and not row.done
        if row.request.previews and due:
            model = self._registry.get(row.shape.model).model
            preview = model.previews.jpeg(row.guess, *row.shape.size)
        row.watcher.progress(Progress(row.index, row.schedule.count, preview))

    def _cap(self, shape: Shape, installed: Installed) -> int:
        return self._caps.get(shape, installed.profile.rows_max)

    def _delay_seconds(self, name: str) -> float:
        """When the line will have moved on, by the speed measured at the start."""
        found = self._registry.seen(name)
        if found is None:
            return RETRY_AFTER_SECONDS_MAX
        per_row = found.profile.row_step_seconds * found.model.defaults.steps
        seconds = per_row * len(self._waiting)
        return min(max(seconds, RETRY_AFTER_SECONDS_MIN), RETRY_AFTER_SECONDS_MAX)

    def _abandon(self) -> None:
        """Fails every row."""
        with self._changed:
            waiting, active = list(self._waiting), list(self._active.values())
            self._waiting.clear()
        self._active.clear()
        self._count()
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
