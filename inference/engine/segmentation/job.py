"""One request on its way through the segmenter."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from inference.engine.errors import Canceled, EngineError, SamplingTimeout
from inference.engine.segmentation.request import Found, Segmentation, SegmentRequest, Watcher
from inference.engine.segmentation.segmenter import Embedding

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """What is known of a request so far; of the engine's thread alone once it has begun.

    Attributes:
        request: What was asked; without the file once that was looked at.
        watcher: Who asked.
        model: The segmenter that is meant.
        words: What it is asked, one for each concept.
        began: When work on it began, in seconds; None: it has not, or its model is being loaded.
        key: SHA-256 of the file, or empty.
        was_known: Whether the picture had been looked at before.
        embedding: The picture as the model has seen it.
        asked: How many of the words were asked.
        found: What they name, by their place.
        ended: Whether the watcher knows how it ended.
    """

    request: SegmentRequest
    watcher: Watcher
    model: str
    words: tuple[str, ...]
    began: float | None = None
    key: str = ""
    was_known: bool = False
    embedding: Embedding | None = None
    asked: int = 0
    found: dict[int, Found] = field(default_factory=dict)
    ended: bool = False

    def goes_on(self, now: float) -> bool:
        """Whether it does; a job that nobody waits for, or that has taken too long, ends here."""
        if self.ended:
            return False
        limit = self.request.timeout_seconds
        if self._left():
            self.fail(Canceled("canceled by the caller"))
        elif self.seconds(now) > limit:
            self.fail(SamplingTimeout(f"segmentation took longer than {limit:g} s"))
        return not self.ended

    def seconds(self, now: float) -> float:
        """How long it has been worked on."""
        return 0.0 if self.began is None else now - self.began

    def fail(self, error: EngineError) -> None:
        """Ends it without masks, unless it has ended."""
        if self.ended:
            return
        self.ended = True
        try:
            self.watcher.failed(error)
        except Exception:
            log.exception("a watcher failed")  # its own fault, and nobody else's

    def take(self, at: int, found: Found, now: float) -> None:
        """Takes what one of the words names; the last one ends the job."""
        self.found[at] = found
        if len(self.found) < len(self.words):
            return
        assert self.embedding is not None
        self.ended = True
        ordered = tuple(self.found[each] for each in range(len(self.words)))
        height, width = self.embedding.height, self.embedding.width
        try:
            self.watcher.finished(
                Segmentation(self.model, height, width, ordered, self.was_known, self.seconds(now))
            )
        except Exception:
            log.exception("a watcher failed")

    def _left(self) -> bool:
        try:
            return self.watcher.cancelled()
        except Exception:
            log.exception("a watcher failed")
            return True
