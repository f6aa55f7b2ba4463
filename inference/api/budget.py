"""Memory that all calls share: taken before a file is read, in the order in which calls came."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kit.errors import InvalidArgument

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Of the files of all calls: 512 MiB are ten of the largest pictures, or hundreds of the usual.
FILES_BYTES_MAX = 512 << 20


class Budget:
    """So many bytes, and nobody takes more. Of one event loop.

    Whoever asks for more than is free waits, and so does everybody behind, so that a large call
    is not passed by for ever. A call asks once: two that wait for each other's rest never meet.

    Args:
        bytes_max: Of all calls together.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_free = bytes_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def share(self, size_bytes: int) -> AsyncIterator[Share]:
        """Waits for so many bytes, or for all where they are fewer; they are given back at the end.

        Args:
            size_bytes: As many as may be needed; what is not can be given back earlier.
        """
        taken = min(size_bytes, self.bytes_max)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((taken, place))
        self._serve()
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled() or not place.done():
                self._waiting = deque(each for each in self._waiting if each[1] is not place)
                self._serve()
            else:
                self.give_back(taken)
            raise
        share = Share(self, taken)
        try:
            yield share
        finally:
            self.give_back(share.bytes_max)

    def give_back(self, size_bytes: int) -> None:
        """Makes bytes free for the next in line."""
        self.bytes_free += size_bytes
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.bytes_free:
            size_bytes, place = self._waiting.popleft()
            if not place.cancelled():
                self.bytes_free -= size_bytes
                place.set_result(None)


class Share:
    """What one call has of a budget.

    Attributes:
        bytes_max: As much as it may hold.
    """

    def __init__(self, budget: Budget, bytes_max: int) -> None:
        self._budget = budget
        self.bytes_max = bytes_max
        self._held = 0
        self._lock = threading.Lock()  # files are written by threads

    def file(self, field: str) -> io.BytesIO:
        """A file in memory that refuses to grow beyond the share; the refusal names the field."""
        return _Counted(self, field)

    def settle(self) -> None:
        """Gives back what was not used; nothing is read after that."""
        spare, self.bytes_max = self.bytes_max - self._held, self._held
        self._budget.give_back(spare)

    def count(self, size_bytes: int, field: str) -> None:
        """Takes note that so many more are held; from any thread.

        Raises:
            InvalidArgument: That is more than the share.
        """
        with self._lock:
            self._held += size_bytes
            if self._held > self.bytes_max:
                message = f"the files of one call must have at most {self.bytes_max >> 20} MiB"
                raise InvalidArgument.of(field, message)


class _Counted(io.BytesIO):
    def __init__(self, share: Share, field: str) -> None:
        super().__init__()
        self._share = share
        self._field = field

    def write(self, data: ReadableBuffer, /) -> int:
        self._share.count(memoryview(data).nbytes, self._field)
        return super().write(data)
