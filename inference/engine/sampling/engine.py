"""Continuous batching: rows join and leave between steps, whatever they were asked for."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from inference.engine import recovery
from inference.engine.errors import Canceled, EngineError, ModelFailed, SamplingTimeout
from inference.engine.line import RETRY_AFTER_SECONDS_MAX, Line
from inference.engine.loop import Loop, Pulse
from inference.engine.models.row import Row, Shape
from inference.engine.request import ImageRequest, Watcher
from inference.engine.safety.port import Check, Off
from inference.engine.sampling.ending import Ending
from inference.engine.sampling.registry import Installed, Registry
from inference.engine.sampling.stepping import Stepper
from inference.engine.sampling.turns import Turns
from inference.engine.sampling.watching import Careful
from inference.engine.status import ModelStatus
from inference.engine.tally import Tally

log = logging.getLogger(__name__)

WAITING_MAX = 64
WAITING_BYTES_MAX = 1 << 30  # of pictures that requests bring along; one has 50 MB at most
SWEEP_SECONDS = 0.25
PATIENCE_SECONDS = 10.0


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
        check: The safety check; every picture passes it before anybody sees it, and there are no
            previews.
    """

    def __init__(
        self,
        registry: Registry,
        waiting_max: int = WAITING_MAX,
        clock: Callable[[], float] = time.monotonic,
        check: Check | None = None,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._line: Line[_Waiting] = Line(waiting_max, WAITING_BYTES_MAX)
        self._active: dict[Shape, list[Row]] = {}
        self._turns: Turns[Shape] = Turns()
        self._tally, self._pulse = Tally(), Pulse(clock)
        self._stepper = Stepper(
            self._tally, self._pulse, clock, shows=check is None or isinstance(check, Off)
        )
        self._ending = Ending(check or Off(), self._pulse, clock)
        self._loop = Loop(
            self.step, self._abandon, lambda: SWEEP_SECONDS if len(self._line) else None
        )
        self._registry.changed = self._loop.wake
        self._in_flight: dict[str, int] = {}  # replaced whole, because other threads read it
        self._swept_at = clock()

    def submit(self, request: ImageRequest, watcher: Watcher) -> None:
        """Puts a row in line; from any thread. The watcher hears the rest.

        Raises:
            InvalidRequest: A field is not valid.
            UnknownModel: No such model is installed.
            ModelFailed: The model could not be loaded a short while ago, and when to come back; or
                the engine has stopped.
            Overloaded: Too many rows wait; says when to come back.
        """
        request.check()
        name = self._registry.resolve(request)
        entry = _Waiting(request, Careful(watcher), name, self._clock())
        self._line.join(entry, request.picture_bytes, self._row_seconds(name))
        self._loop.wake()

    def statuses(self) -> dict[str, ModelStatus]:
        """How every installed model is; from any thread."""
        waiting = Counter(entry.name for entry in self._line.entries())
        return self._tally.told(self._registry.statuses(self._in_flight), waiting)

    @property
    def stalled(self) -> bool:
        """Whether a step or a load has been going on for so long that it will not end.

        From any thread. The loop itself may go on meanwhile, for loads are made beside it.
        """
        return self._pulse.stopped or self._registry.stalled

    def run(self) -> None:
        """Steps until :meth:`close`; rows that are left then fail, and none is taken any more."""
        try:
            self._loop.run()
        finally:
            self.close()
            self._abandon()

    def close(self) -> None:
        """Ends :meth:`run` after the step at hand; from any thread."""
        self._line.close()
        self._loop.close()

    def step(self) -> bool:
        """Does one step of one shape; False: there was nothing to do."""
        self._pulse.beat()
        try:
            self._admit()
            did = bool(self._active)
            if did:
                self._advance(
                    self._turns.next({each: self._seconds(each) for each in self._active})
                )
            self._count()
        finally:
            self._pulse.rest()
        return did

    def _advance(self, shape: Shape) -> None:
        """Does one step of a shape, and ends the rows for which it was the last."""
        found = self._registry.get(shape.model)
        rows = [row for row in self._active[shape] if self._wanted(row)]
        rows = self._stepper.advance(found, rows)
        self._ending.finish(found, [row for row in rows if row.done])
        left = [row for row in rows if not row.done]
        if left:
            self._active[shape] = left
        else:
            del self._active[shape]

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
        sweep = self._clock() - self._swept_at >= SWEEP_SECONDS
        if sweep:
            self._swept_at = self._clock()
        held = False
        for entry in self._line.entries():
            if sweep and entry.watcher.cancelled():
                self._cancel(entry)
            elif not held:
                held = not self._admit_one(entry)

    def _admit_one(self, entry: _Waiting) -> bool:
        """Begins a row if it can begin; False: nobody behind it may begin either."""
        found = self._ready(entry)
        if isinstance(found, EngineError):
            self._line.leave(entry)
            entry.watcher.failed(found)
            return True
        if found is None:
            late = self._clock() - entry.since > PATIENCE_SECONDS
            return not (late and self._registry.crowded(entry.name))
        shape = found.model.shape(entry.request.resolved_aspect)
        if len(self._active.get(shape, ())) >= self._cap(shape, found):
            return True
        if entry.watcher.cancelled():
            self._cancel(entry)
        else:
            self._line.leave(entry)
            self._begin(entry, found, shape)
        return True

    def _ready(self, entry: _Waiting) -> Installed | EngineError | None:
        """A row's model, dressed as the row wants it; None: not yet."""
        try:
            return self._registry.ready(entry.name, self._in_use(), entry.request.loras)
        except EngineError as error:
            return error
        except Exception as error:
            log.exception("a model could not be had")
            return ModelFailed(f"the model could not be had: {type(error).__name__}")

    def _in_use(self) -> dict[str, set[str]]:
        """Models with rows in flight, and the adapters that those wear."""
        in_use: dict[str, set[str]] = {}
        for shape, rows in self._active.items():
            worn = (lora.name for row in rows for lora in row.request.loras)
            in_use.setdefault(shape.model, set()).update(worn)
        return in_use

    def _cancel(self, entry: _Waiting) -> None:
        self._line.leave(entry)
        entry.watcher.failed(Canceled("canceled while it waited"))

    def _begin(self, entry: _Waiting, found: Installed, shape: Shape) -> None:
        model, began = found.model, self._clock()
        self._pulse.beat(found.profile.stall_seconds)
        (made,) = recovery.each(
            lambda entries: [model.row(one.request, one.watcher, began) for one in entries],
            [entry],
            model.clear_cache,
        )
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

    def _cap(self, shape: Shape, installed: Installed) -> int:
        return self._stepper.cap(shape, installed)

    def _row_seconds(self, name: str) -> float:
        """How long a row is likely to take, by the speed measured at the start."""
        found = self._registry.seen(name)
        if found is None:
            return RETRY_AFTER_SECONDS_MAX
        return found.profile.row_step_seconds * found.model.defaults.steps

    def _abandon(self) -> None:
        """Fails every row."""
        waiting, active = self._line.clear(), list(self._active.values())
        self._active.clear()
        self._count()
        stopped = ModelFailed("the engine has stopped")
        for entry in waiting:
            entry.watcher.failed(stopped)
        for row in (row for rows in active for row in rows):
            row.fail(stopped)
