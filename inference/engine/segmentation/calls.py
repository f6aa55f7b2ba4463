"""The calls of one model: pictures that it looks at, words that it reads, pairs that it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from inference.engine import recovery
from inference.engine.caps import Caps
from inference.engine.errors import EngineError
from inference.engine.pictures import files as pictures
from inference.engine.segmentation.finding import found
from inference.engine.segmentation.job import Job
from inference.engine.segmentation.registry import Installed
from inference.engine.segmentation.segmenter import PROMPTS_MAX, Answer, Embedding
from inference.engine.tally import Tally

EMBEDDED_MAX = 4  # pictures that are looked at in one call

Pair = tuple[Job, int]


class Calls:
    """Makes calls for several jobs at once; every job hears of its own.

    Args:
        tally: Counts the calls for which memory was short.
        now: Seconds, monotonic; called between the parts of a call, so that whoever gives it knows
            that work goes on.
    """

    def __init__(self, tally: Tally, now: Callable[[], float]) -> None:
        self._tally = tally
        self._now = now
        self._caps: Caps[str] = Caps()

    def embed(self, installed: Installed, jobs: Sequence[Job]) -> None:
        """Finds a few pictures in the cache, or looks at them; the same file once."""
        new: dict[str, list[Job]] = {}
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
        for job in jobs:
            if job.embedding is not None:
                job.request = replace(job.request, picture=b"")

    def ask(self, installed: Installed, jobs: Sequence[Job]) -> None:
        """Asks as many pairs as one call takes, one of each job in turn, and makes masks."""
        most = self._caps.of(installed.name, PROMPTS_MAX)
        pairs = self._read(installed, _turns(jobs, most))
        if not pairs:
            return
        segmenter = installed.segmenter

        def ask(those: Sequence[Pair]) -> list[Answer]:
            asked = []
            for job, at in those:
                text = installed.texts.get(job.words[at])
                assert job.embedding is not None
                assert text is not None
                asked.append((job.embedding, text))
            return segmenter.ask(asked)

        answers, memory_short = recovery.each_within(
            self._caps, installed.name, PROMPTS_MAX, ask, pairs, segmenter.clear_cache
        )
        if memory_short:
            self._tally.halved(installed.name)
        for (job, at), answer in zip(pairs, answers, strict=True):
            self._take(installed, job, at, answer)

    def _read(self, installed: Installed, pairs: Sequence[Pair]) -> list[Pair]:
        """Reads the words that are new; returns the pairs whose words could be read."""
        words = {job.words[at] for job, at in pairs}
        new = sorted(each for each in words if installed.texts.get(each) is None)
        segmenter = installed.segmenter
        read = recovery.each(segmenter.read, new, segmenter.clear_cache) if new else []
        for each, text in zip(new, read, strict=True):
            if not isinstance(text, EngineError):
                installed.texts.put(each, text)
                continue
            for job, at in pairs:
                if job.words[at] == each:
                    job.fail(text)
        return [(job, at) for job, at in pairs if not job.ended]

    def _take(self, installed: Installed, job: Job, at: int, answer: Answer | EngineError) -> None:
        """Makes masks of an answer; up to 32 of 25 megapixels, so that time is looked at before."""
        if not job.goes_on(self._now()):
            return
        made = answer
        if not isinstance(answer, EngineError):
            usual = installed.segmenter.traits.score_min
            made = recovery.each(
                lambda answers: [found(job, at, one, usual) for one in answers],
                [answer],
                installed.segmenter.clear_cache,
            )[0]
        if isinstance(made, EngineError):
            job.fail(made)
        else:
            job.take(at, made, self._now())


def _turns(jobs: Sequence[Job], most: int) -> list[Pair]:
    pairs: list[Pair] = []
    turn = 0
    while len(pairs) < most and any(job.asked + turn < len(job.words) for job in jobs):
        pairs += [(job, job.asked + turn) for job in jobs if job.asked + turn < len(job.words)]
        turn += 1
    pairs = pairs[:most]
    for job, _ in pairs:
        job.asked += 1
    return pairs
