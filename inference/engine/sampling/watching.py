"""Watchers that cannot harm the loop. Standard library only."""

from __future__ import annotations

import logging

from inference.engine.errors import EngineError, ModelFailed
from inference.engine.request import Picture, Progress, Watcher

log = logging.getLogger(__name__)


class Careful:
    """A watcher whose failures are its own row's: one that raises counts as gone.

    Args:
        watcher: Whoever asked.
    """

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._gone = False

    def cancelled(self) -> bool:
        """Whether nobody waits for the row any more."""
        try:
            return self._gone or self._watcher.cancelled()
        except Exception as error:
            self._give_up(error)
            return True

    def progress(self, progress: Progress) -> None:
        """The row has done another step."""
        try:
            self._watcher.progress(progress)
        except Exception as error:
            self._give_up(error)

    def finished(self, picture: Picture) -> None:
        """The row is a picture; where that cannot be said, its failure is."""
        try:
            self._watcher.finished(picture)
        except Exception as error:
            self._give_up(error)
            self.failed(ModelFailed(f"the picture got lost: {type(error).__name__}"))

    def failed(self, error: EngineError) -> None:
        """The row ended without a picture."""
        try:
            self._watcher.failed(error)
        except Exception as raised:
            self._give_up(raised)

    def _give_up(self, error: Exception) -> None:
        self._gone = True
        log.warning("a watcher failed", exc_info=error)
