"""What an engine's thread is made of: steps until it is closed, and a pulse that others can feel.

Standard library only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

STALL_SECONDS = 120.0  # a call of a model takes well below a second on a card, at most a few
# Of one part of a load: 34 GB of weights come at 57 MB a second within it.
LOAD_SECONDS_MAX = 600.0


class Pulse:
    """Whether the thread that does the work goes on; felt by other threads.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: float | None = None

    def beat(self, seconds_max: float = STALL_SECONDS) -> None:
        """A piece of work begins, which should be done by then."""
        self._due = self._clock() + seconds_max

    def rest(self) -> None:
        """There is nothing to do, for however long."""
        self._due = None

    @property
    def stopped(self) -> bool:
        """Whether a piece of work takes so long that it will not end."""
        due = self._due
        return due is not None and self._clock() > due


class Beside:
    """Work beside the loop, of which it is known whether any will not end.

    Args:
        background: Has work done on another thread.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        background: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._background = background
        self._clock = clock
        self._under_way: set[Pulse] = set()

    def do(
        self, work: Callable[[], None], done: Callable[[], None], pulse: Pulse | None = None
    ) -> None:
        """Has work done; it hangs where it, or a part of it, takes longer than a load may.

        Args:
            work: Raises nothing.
            done: Called after it, when nobody watches it any more: what it lets begin may have the
                same pulse.
            pulse: Beaten by the work between its parts; None: it has none.
        """
        felt = pulse or Pulse(self._clock)
        felt.beat(LOAD_SECONDS_MAX)
        self._under_way.add(felt)

        def watched() -> None:
            try:
                work()
            finally:
                felt.rest()
                self._under_way.discard(felt)
                done()

        self._background(watched)

    @property
    def stopped(self) -> bool:
        """Whether any of it will not end; from any thread."""
        return any(pulse.stopped for pulse in tuple(self._under_way))


class Runs(Protocol):
    """An engine: it works on the thread that runs it, and others see whether it goes on."""

    @property
    def stalled(self) -> bool:
        """Whether a step or a load has been going on for so long that it will not end."""

    def run(self) -> None:
        """Works until :meth:`close`."""

    def close(self) -> None:
        """Ends :meth:`run` after the step at hand; from any thread."""


class Loop:
    """Steps until it is closed.

    Args:
        step: Does one piece of work; False: there was nothing to do.
        abandon: Fails whatever is under way; called where a step raises.
        pause_seconds: How long to rest at most where there is nothing to do; None: until news.
    """

    def __init__(
        self,
        step: Callable[[], bool],
        abandon: Callable[[], None],
        pause_seconds: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._step = step
        self._abandon = abandon
        self._pause_seconds = pause_seconds
        self._changed = threading.Condition()
        self._news = False
        self._closed = False

    def run(self) -> None:
        """Steps on this thread until :meth:`close`."""
        while not self._closed:
            try:
                busy = self._step()
            except Exception:
                # A fault of the loop itself: nobody may wait for what it has lost sight of.
                log.exception("a step failed")
                self._abandon()
                continue
            if not busy:
                self._rest()

    def _rest(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._news or self._closed, self._pause_seconds())
            self._news = False

    def wake(self) -> None:
        """Says that there is news; from any thread."""
        with self._changed:
            self._news = True
            self._changed.notify()

    def close(self) -> None:
        """Ends :meth:`run` after the step at hand; from any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
