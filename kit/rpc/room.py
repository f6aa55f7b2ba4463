"""How many calls a server takes at once; what exceeds it is refused, for a line would only grow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kit.crowds import crowding
from kit.errors import DomainError
from kit.identity import Identity, Kind
from kit.rpc.contract import Policy

BUSY_SECONDS = 1.0


class Overloaded(DomainError):
    """As many calls are in work as may be."""

    reason = "OVERLOADED"


class Room:
    """Places for calls. Reads, writes and services' calls each have their own.

    So what waits for its turn behind many submissions are submissions, while users see where their
    jobs are and workers report.

    Args:
        calls_max: Calls of a kind at once.
        streams_max: Live streams at once.
    """

    def __init__(self, calls_max: int, streams_max: int) -> None:
        self._limits = {
            "read": calls_max,
            "write": calls_max,
            "service": calls_max,
            "stream": streams_max,
        }
        self._taken = dict.fromkeys(self._limits, 0)
        self._followers: set[asyncio.Task[object]] = set()
        self.is_closing = False

    @contextmanager
    def call(self, policy: Policy, identity: Identity) -> Iterator[None]:
        """Takes a place for as long as the block lasts.

        Raises:
            Overloaded: There is none.
        """
        is_read = policy.rate_class == "read"
        kind = "service" if identity.kind is Kind.SERVICE else "read" if is_read else "write"
        with self._place(kind), crowding(kind == "write"):
            yield

    @contextmanager
    def stream(self, identity: Identity) -> Iterator[None]:
        """Takes a place for a live stream.

        Raises:
            Overloaded: There is none.
        """
        task = asyncio.current_task()
        with self._place("stream"):
            # A user's stream has no end that could be waited for; a service's has a result.
            if task is not None and identity.kind is not Kind.SERVICE:
                self._followers.add(task)
            try:
                yield
            finally:
                self._followers.discard(task)

    def close(self) -> None:
        """Ends the streams of users, who connect again elsewhere or later."""
        self.is_closing = True
        for task in self._followers:
            task.cancel()

    @contextmanager
    def _place(self, kind: str) -> Iterator[None]:
        if self._taken[kind] >= self._limits[kind]:
            raise Overloaded("too many calls are in work", retry_after_seconds=BUSY_SECONDS)
        self._taken[kind] += 1
        try:
            yield
        finally:
            self._taken[kind] -= 1
