"""How many rows a call takes where memory was short. Standard library only."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

GOOD_CALLS = 200  # what one more try costs, a failed call, is then half a percent

Key = TypeVar("Key", bound=Hashable)


class Caps(Generic[Key]):
    """Halves the rows where memory was short, and doubles them again after many good calls.

    What was in the way (another model's load, a great picture) has often gone meanwhile.
    """

    def __init__(self) -> None:
        self._caps: dict[Key, int] = {}
        self._good: dict[Key, int] = {}

    def of(self, key: Key, most: int) -> int:
        """How many rows a call takes, of ``most`` where memory suffices."""
        return min(self._caps.get(key, most), most)

    def short(self, key: Key, rows: int) -> None:
        """Memory was short for a call of so many rows."""
        self._caps[key] = max(1, rows // 2)
        self._good[key] = 0

    def went_well(self, key: Key, rows: int, most: int) -> None:
        """A call of so many rows went well; only full ones prove anything."""
        cap = self._caps.get(key)
        if cap is None or rows < cap:
            return
        self._good[key] += 1
        if self._good[key] < GOOD_CALLS:
            return
        self._good[key] = 0
        self._caps[key] = 2 * cap
        if 2 * cap >= most:
            del self._caps[key]
