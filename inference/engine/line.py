"""What waits for its turn, bounded in number and in bytes. Standard library only."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from inference.engine.errors import ModelFailed, Overloaded

RETRY_AFTER_SECONDS_MIN, RETRY_AFTER_SECONDS_MAX = 1.0, 60.0

Entry = TypeVar("Entry")


class Line(Generic[Entry]):
    """Entries in the order in which they came; any thread may join, one thread takes them out.

    Args:
        waiting_max: Entries that may wait.
        bytes_max: Memory of what they bring along.
    """

    def __init__(self, waiting_max: int, bytes_max: int) -> None:
        self._waiting_max, self._bytes_max = waiting_max, bytes_max
        self._entries: deque[tuple[Entry, int]] = deque()
        self._lock = threading.Lock()
        self._closed = False

    def __len__(self) -> int:
        return len(self._entries)

    def join(self, entry: Entry, size_bytes: int, seconds_each: float) -> None:
        """Puts an entry at the end.

        Args:
            entry: What waits.
            size_bytes: Memory of what it brings along.
            seconds_each: How long one entry is likely to take, for saying when to come back.

        Raises:
            ModelFailed: The line is closed.
            Overloaded: Too many wait.
        """
        with self._lock:
            if self._closed:
                raise ModelFailed("the engine has stopped")
            count = len(self._entries)
            held = sum(size for _, size in self._entries)
            if count >= self._waiting_max or held + size_bytes > self._bytes_max:
                seconds = max(seconds_each * count, RETRY_AFTER_SECONDS_MIN)
                delay = min(seconds, RETRY_AFTER_SECONDS_MAX)
                raise Overloaded("too many pictures wait", retry_after_seconds=delay)
            self._entries.append((entry, size_bytes))

    def entries(self) -> list[Entry]:
        """Everybody who waits, in order; from any thread."""
        with self._lock:
            return [entry for entry, _ in self._entries]

    def leave(self, entry: Entry) -> None:
        """Takes out one who waits."""
        with self._lock:
            self._entries = deque(each for each in self._entries if each[0] is not entry)

    def clear(self) -> list[Entry]:
        """Takes out everybody."""
        with self._lock:
            left = [entry for entry, _ in self._entries]
            self._entries.clear()
            return left

    def close(self) -> None:
        """Lets nobody join any more; from any thread."""
        with self._lock:
            self._closed = True
