"""Segments what is asked, several pictures and concepts at once, without waiting for company."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection

from inference.engine.errors import ModelFailed
from inference.engine.line import Line
from inference.engine.loop import LOAD_SECONDS_MAX, Loop, Pulse
from inference.engine.segmentation.calls import Calls
from inference.engine.segmentation.job import Job
from inference.engine.segmentation.registry import Installed, Segmenters
from inference.engine.segmentation.request import SegmentRequest, Watcher
from inference.engine.segmentation.vocabulary import asked_as
from inference.engine.status import ModelStatus
from inference.engine.tally import Tally

WAITING_MAX, WAITING_BYTES_MAX = 64, 512 << 20
ACTIVE_MAX = 16  # pictures whose embeddings are held at once, whatever the cache keeps
_SECONDS_GUESSED = 0.2  # of one request, before any was answered
_SMOOTHING = 0.2


class SegmentEngine:
    """The loop of one device.

    A step looks at a few new pictures, or asks a few pairs of picture and concept in one call:
    one of each request in turn, so that a request for one concept does not wait for one for
    sixteen. Requests join and leave between steps. Nobody joins while a request waits for others
    to make room for its model.

    Args:
        segmenters: The models.
        waiting_max: Requests that may wait.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        segmenters: Segmenters,
        waiting_max: int = WAITING_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._segmenters = segmenters
        self._clock = clock
        self._pulse = Pulse(clock)
        self._loop = Loop(self.step, self._abandon)
        self._line: Line[Job] = Line(waiting_max, WAITING_BYTES_MAX)
        self._tally = Tally()
        self._calls = Calls(self._tally, self._now)
        self._active: list[Job] = []
        self._crowded = False
        self._seconds = _SECONDS_GUESSED

    def submit(self, request: SegmentRequest, watcher: Watcher) -> None:
        """Puts a request in line; from any thread. The watcher hears the rest.

        Raises:
            InvalidRequest: A field is not valid, or a concept is in a language that the model does
                not know.
            UnknownModel: No such segmenter is installed.
            ModelFailed: It could not be loaded, or the engine has ended.
            Overloaded: Too many requests wait; says when to come back.
        """
        request.check()
        name = self._segmenters.resolve(request.model)
        languages = self._segmenters.languages(name)
        words = tuple(
            asked_as(concept, languages, f"concepts[{at}]")
            for at, concept in enumerate(request.concepts)
        )
        self._line.join(Job(request, watcher, name, words), len(request.picture), self._seconds)
        self._loop.wake()

    @property
    def stalled(self) -> bool:
        """Whether a step or a load has been going on for so long that it will not end."""
        return self._pulse.stopped

    def statuses(self) -> dict[str, ModelStatus]:
        """How every installed segmenter is; from any thread."""
        at_work = Counter(job.model for job in list(self._active))
        waiting = Counter(job.model for job in self._line.entries())
        return self._tally.told(self._segmenters.statuses(at_work), waiting)

    def run(self) -> None:
        """Steps until :meth:`close`; requests that are left then fail."""
        try:
            self._loop.run()
        finally:
            self._line.close()
            self._abandon()

    def close(self) -> None:
        """Ends :meth:`run` after the step at hand."""
        self._line.close()
        self._loop.close()

    def step(self) -> bool:
        """Does one call of one model; False: there was nothing to do."""
        now = self._now()
        self._admit(now)
        self._active = [job for job in self._active if job.goes_on(now)]
        installed = self._next()
        if installed is not None:
            self._call(installed)
        self._active = [job for job in self._active if not job.ended]
        if self._active or self._line.entries():
            return True
        self._pulse.rest()
        return installed is not None

    def _call(self, installed: Installed) -> None:
        jobs = [job for job in self._active if job.model == installed.name]
        for job in jobs:
            job.began = self._now() if job.began is None else job.began
        began = self._clock()
        unseen = [job for job in jobs if job.embedding is None]
        if unseen:
            self._calls.embed(installed, unseen)
        else:
            self._calls.ask(installed, jobs)
        self._tally.stepped(installed.name, self._clock() - began)
        for job in jobs:
            if job.ended and len(job.found) == len(job.words):
                self._seconds += _SMOOTHING * (job.seconds(self._clock()) - self._seconds)
        # What has waited for another model is next.
        self._active = sorted(self._active, key=lambda job: job.model == installed.name)

    def _admit(self, now: float) -> None:
        """Takes in as many as there is room for; whoever has left holds no place in line."""
        for job in self._line.entries():
            if not job.goes_on(now):
                self._line.leave(job)
            elif not self._crowded and len(self._active) < ACTIVE_MAX:
                self._line.leave(job)
                self._active.append(job)

    def _next(self) -> Installed | None:
        """The model of the first job whose model can be used, loaded if need be."""
        self._crowded = False
        in_use = {job.model for job in self._active if self._segmenters.seen(job.model)}
        for name in dict.fromkeys(job.model for job in self._active):
            try:
                found = self._ready(name, in_use)
            except ModelFailed as error:
                for job in self._active:
                    if job.model == name:
                        job.fail(error)
                continue
            if found is not None:
                return found
            self._crowded = True
        return None

    def _ready(self, name: str, in_use: Collection[str]) -> Installed | None:
        """A model, loaded if need be; nobody's time runs meanwhile."""
        if self._segmenters.seen(name):
            return self._segmenters.ready(name)
        began = self._clock()
        self._pulse.beat(LOAD_SECONDS_MAX)
        try:
            return self._segmenters.ready(name, in_use)
        finally:
            took = self._now() - began
            for job in self._active:
                job.began = None if job.began is None else job.began + took

    def _now(self) -> float:
        """The time; whoever asks goes on."""
        self._pulse.beat()
        return self._clock()

    def _abandon(self) -> None:
        """Fails every request."""
        jobs = [*self._active, *self._line.clear()]
        self._active = []
        self._crowded = False
        self._pulse.rest()
        for job in jobs:
            job.fail(ModelFailed("the engine has stopped"))
