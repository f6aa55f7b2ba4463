"""Segments what is asked, several pictures and concepts at once, without waiting for company."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inference.engine import recovery
from inference.engine.errors import (
    Canceled,
    EngineError,
    ModelFailed,
    Overloaded,
    SamplingTimeout,
)
from inference.engine.pictures import files as pictures
from inference.engine.pictures.masks import Mask, union
from inference.engine.segmentation.registry import Installed, Segmenters
from inference.engine.segmentation.request import (
    INSTANCES_MAX,
    Found,
    Instance,
    Segmentation,
    SegmentRequest,
    Watcher,
)
from inference.engine.segmentation.segmenter import PROMPTS_MAX, Answer, Embedding, best, grown
from inference.engine.segmentation.vocabulary import asked_as

log = logging.getLogger(__name__)

WAITING_MAX, WAITING_BYTES_MAX = 64, 512 << 20
ACTIVE_MAX = 16  # pictures whose embeddings are held at once, whatever the cache keeps
EMBEDDED_MAX = 4  # pictures that are looked at in one call
_SECONDS_GUESSED = 0.2  # of one request, before any was answered
RETRY_AFTER_SECONDS_MIN, RETRY_AFTER_SECONDS_MAX = 1.0, 60.0
_SMOOTHING = 0.2
STALL_SECONDS = 120.0  # a step takes well below a second, at the largest a few


@dataclass(eq=False)
class _Job:
    """One request on its way."""

    request: SegmentRequest
    watcher: Watcher
    installed: Installed
    words: tuple[str, ...]
    began: float = 0.0
    key: str = ""
    was_known: bool = False
    embedding: Embedding | None = None
    asked: int = 0
    found: dict[int, Found] = field(default_factory=dict)
    ended: bool = False

    def fail(self, error: EngineError) -> None:
        self.ended = True
        self.watcher.failed(error)


class SegmentEngine:
    """The loop of one device.

    A step looks at a few new pictures, or asks a few pairs of picture and concept in one call:
    one of each request in turn, so that a request for one concept does not wait for one for
    sixteen. Requests join and leave between steps.

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
        self._waiting_max = waiting_max
        self._clock = clock
        self._waiting: deque[_Job] = deque()
        self._active: list[_Job] = []
        self._pairs_max: dict[str, int] = {}
        self._seconds = _SECONDS_GUESSED
        self._stepped_at = clock()
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, request: SegmentRequest, watcher: Watcher) -> None:
        """Puts a request in line; from any thread. The watcher hears the rest.

        Raises:
            InvalidRequest: A field is not valid, or a concept is in a language that the model does
                not know.
            UnknownModel: No such segmenter is installed.
            ModelFailed: It could not be loaded.
            Overloaded: Too many requests wait; says when to come back.
        """
        request.check()
        installed = self._segmenters.get(request.model)
        languages = installed.segmenter.traits.languages
        words = tuple(
            asked_as(concept, languages, f"concepts[{at}]")
            for at, concept in enumerate(request.concepts)
        )
        with self._changed:
            if self._closed:
                raise ModelFailed("the engine has stopped")
            held = sum(len(job.request.picture) for job in self._waiting)
            if len(self._waiting) >= self._waiting_max or held > WAITING_BYTES_MAX:
                seconds = self._seconds * len(self._waiting)
                delay = min(max(seconds, RETRY_AFTER_SECONDS_MIN), RETRY_AFTER_SECONDS_MAX)
                raise Overloaded("too many pictures wait", retry_after_seconds=delay)
            self._waiting.append(_Job(request, watcher, installed, words))
            self._changed.notify()

    @property
    def stalled(self) -> bool:
        """Whether a step has been going on for so long that it will not end."""
        is_working = bool(self._active)
        return is_working and self._clock() - self._stepped_at > STALL_SECONDS

    def run(self) -> None:
        """Steps until :meth:`close`; requests that are left then fail."""
        while not self._closed:
            try:
                busy = self.step()
            except Exception:
                # A fault of the loop itself: nobody may wait for what it has lost sight of.
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
        """Does one call of one model; False: there was nothing to do."""
        self._stepped_at = self._clock()
        self._admit()
        for job in self._active:
            self._look_after(job)
        self._active = [job for job in self._active if not job.ended]
        if not self._active:
            return bool(self._waiting)
        installed = self._active[0].installed
        jobs = [job for job in self._active if job.installed is installed]
        unseen = [job for job in jobs if job.embedding is None]
        if unseen:
            self._embed(installed, unseen)
        else:
            self._ask(installed, jobs)
        left = [job for job in self._active if not job.ended]
        # What has waited for another model is next.
        self._active = sorted(left, key=lambda job: job.installed is installed)
        return True

    def _admit(self) -> None:
        with self._changed:
            while self._waiting and len(self._active) < ACTIVE_MAX:
                job = self._waiting.popleft()
                job.began = self._clock()
                self._active.append(job)

    def _look_after(self, job: _Job) -> None:
        """Ends a job that nobody waits for, or that has taken too long."""
        limit = job.request.timeout_seconds
        if job.watcher.cancelled():
            job.fail(Canceled("canceled by the caller"))
        elif self._clock() - job.began > limit:
            job.fail(SamplingTimeout(f"segmentation took longer than {limit:g} s"))

    def _embed(self, installed: Installed, jobs: Sequence[_Job]) -> None:
        """Finds a few pictures in the cache, or looks at them; the same file once."""
        new: dict[str, list[_Job]] = {}
        for job in jobs:
            job.key = job.key or pictures.content_hash(job.request.picture)
            job.embedding = installed.embeddings.get(job.key)
            job.was_known = job.embedding is not None
            if not job.was_known and (job.key in new or len(new) < EMBEDDED_MAX):
                new.setdefault(job.key, []).append(job)
        segmenter = installed.segmenter

        def look(files: Sequence[bytes]) -> list[Embedding]:
            return segmenter.embed([pictures.decode(file).on_white for file in files])

        files = [same[0].request.picture for same in new.values()]
        seen = recovery.each(look, files, segmenter.clear_cache) if files else []
        for (key, same), embedding in zip(new.items(), seen, strict=True):
            if not isinstance(embedding, EngineError):
                installed.embeddings.put(key, embedding)
            for job in same:
                if isinstance(embedding, EngineError):
                    job.fail(embedding)
                else:
                    job.embedding = embedding

    def _ask(self, installed: Installed, jobs: Sequence[_Job]) -> None:
        """Asks as many pairs as one call takes, one of each request in turn."""
        pairs = self._turns(installed, jobs)
        if not self._read(installed, pairs):
            return
        segmenter, memory_short = installed.segmenter, False

        def ask(those: Sequence[tuple[_Job, int]]) -> list[Answer]:
            asked = []
            for job, at in those:
                text = installed.texts.get(job.words[at])
                assert job.embedding is not None
                assert text is not None
                asked.append((job.embedding, text))
            return segmenter.ask(asked)

        def clear() -> None:
            nonlocal memory_short
            memory_short = True
            segmenter.clear_cache()

        answers = recovery.each(ask, pairs, clear)
        if memory_short:
            self._pairs_max[installed.name] = max(1, len(pairs) // 2)
        for (job, at), answer in zip(pairs, answers, strict=True):
            self._take(job, at, answer)

    def _turns(self, installed: Installed, jobs: Sequence[_Job]) -> list[tuple[_Job, int]]:
        most = self._pairs_max.get(installed.name, PROMPTS_MAX)
        pairs: list[tuple[_Job, int]] = []
        turn = 0
        while len(pairs) < most and any(job.asked + turn < len(job.words) for job in jobs):
            pairs += [(job, job.asked + turn) for job in jobs if job.asked + turn < len(job.words)]
            turn += 1
        pairs = pairs[:most]
        for job, _ in pairs:
            job.asked += 1
        return pairs

    def _read(self, installed: Installed, pairs: Sequence[tuple[_Job, int]]) -> bool:
        """Reads the words that are new; False: that failed, and so have their requests."""
        words = {job.words[at] for job, at in pairs}
        new = sorted(each for each in words if installed.texts.get(each) is None)
        if not new:
            return True
        segmenter = installed.segmenter
        read = recovery.each(segmenter.read, new, segmenter.clear_cache)
        failures = [each for each in read if isinstance(each, EngineError)]
        for each, text in zip(new, read, strict=True):
            if not isinstance(text, EngineError):
                installed.texts.put(each, text)
        for job, _ in pairs:
            if failures and not job.ended:
                job.fail(failures[0])
        return not failures

    def _take(self, job: _Job, at: int, answer: Answer | EngineError) -> None:
        """Turns an answer into masks; the last one ends the request."""
        if job.ended:
            return
        if isinstance(answer, EngineError):
            job.fail(answer)
            return
        made = recovery.each(
            lambda answers: [_found(job, at, one) for one in answers],
            [answer],
            job.installed.segmenter.clear_cache,
        )[0]
        if isinstance(made, EngineError):
            job.fail(made)
            return
        job.found[at] = made
        if len(job.found) == len(job.words):
            self._finish(job)

    def _finish(self, job: _Job) -> None:
        assert job.embedding is not None
        job.ended = True
        seconds = self._clock() - job.began
        self._seconds += _SMOOTHING * (seconds - self._seconds)
        job.watcher.finished(
            Segmentation(
                job.installed.name,
                job.embedding.height,
                job.embedding.width,
                tuple(job.found[at] for at in range(len(job.words))),
                job.was_known,
                seconds,
            )
        )

    def _abandon(self) -> None:
        """Fails every request."""
        with self._changed:
            jobs = [*self._active, *self._waiting]
            self._waiting.clear()
        self._active = []
        for job in jobs:
            if not job.ended:
                job.fail(ModelFailed("the engine has stopped"))


def _found(job: _Job, at: int, answer: Answer) -> Found:
    """The masks of an answer at the picture's size.

    Raises:
        ModelFailed: The answer holds something that is no number.
    """
    if not answer.sound:
        raise ModelFailed("the model gave numbers that are no masks")
    embedding, request = job.embedding, job.request
    assert embedding is not None
    score_min = request.score_min
    if score_min is None:
        score_min = job.installed.segmenter.traits.score_min
    size = embedding.height, embedding.width
    is_there = answer.presence > score_min
    chosen = best(answer, score_min, INSTANCES_MAX)
    masks = [Mask.of(each) for each in grown(answer.masks[chosen], *size, request.mask_threshold)]
    scores = answer.scores[chosen].tolist()
    instances = [
        Instance(mask, score)
        for mask, score in zip(masks, scores, strict=True)
        if mask.bits.size and is_there
    ]
    whole = Mask.empty(*size)
    if is_there:
        (semantic,) = grown(answer.semantic[None], *size, request.mask_threshold)
        whole = Mask.of(semantic)
    if not whole.bits.size:
        whole = union((instance.mask for instance in instances), *size)
    return Found(request.concepts[at], job.words[at], answer.presence, whole, tuple(instances))
