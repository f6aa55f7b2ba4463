"""What was computed before, as long as there is room for it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that knows how much memory it takes."""

    @property
    def size_bytes(self) -> int:
        """In bytes."""


Key = TypeVar("Key")
Value = TypeVar("Value", bound=Sized)


class ByteCache(Generic[Key, Value]):
    """Keeps what was used last within so many bytes. Not for several threads.

    Args:
        bytes_max: Of everything that is kept; what is larger by itself is never kept.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: Key) -> Value | None:
        """What is kept under a key."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Keeps something, in place of what was used least recently."""
        self._drop(key)
        if value.size_bytes > self._bytes_max:
            return
        self._kept[key] = value
        self.size_bytes += value.size_bytes
        while self.size_bytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self.size_bytes = 0

    def _drop(self, key: Key) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self.size_bytes -= old.size_bytes
