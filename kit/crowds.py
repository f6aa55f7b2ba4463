"""Writes of users come in crowds: what a process has few of is not all given to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IN_CROWD: ContextVar[bool] = ContextVar("in_crowd", default=False)


def is_in_crowd() -> bool:
    """Whether the work at hand is a user's write.

    Reads, services' calls and a process's own loops are none: users cannot make many of them wait.
    """
    return _IN_CROWD.get()


@contextmanager
def crowding(is_crowd: bool) -> Iterator[None]:
    """Says it of what runs in the block and of the tasks that it starts."""
    before = _IN_CROWD.set(is_crowd)
    try:
        yield
    finally:
        _IN_CROWD.reset(before)
