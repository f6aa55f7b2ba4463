"""What a test does that needs a moment of its own on a machine that may be busy."""

from __future__ import annotations

from collections.abc import Iterator

GROWTH, TRIES = 4, 5


def growing(seconds: float) -> Iterator[float]:
    """Yields a time, and longer ones for who found that the machine was slower than it.

    Where something has to happen within a time that is waited for, a test begins with the shortest
    that an idle machine needs. It goes on only where it saw that the time was too short, never
    where what it saw was wrong.
    """
    for attempt in range(TRIES):
        yield seconds * GROWTH**attempt
