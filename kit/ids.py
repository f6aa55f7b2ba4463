"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time at which they were made."""

from __future__ import annotations

import os
import threading
import time
import uuid

from kit.errors import InvalidArgument


class _Sequence:
    """Makes ids of which each is greater than the one before (RFC 9562 §6.2, method 2)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> uuid.UUID:
        milliseconds = time.time_ns() // 1_000_000
        value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        with self._lock:
            self._last = value = max(value, self._last + 1)
        return uuid.UUID(int=value)


_sequence = _Sequence()


def uuid7() -> uuid.UUID:
    """Returns a new id: 48 bits of Unix milliseconds, version, 74 random bits.

    Within a process ids grow, also within one millisecond: rows that were made in an order are
    listed in it.
    """
    return _sequence.next()


def parse_id(value: str, field: str) -> uuid.UUID:
    """Reads an id from a request.

    Raises:
        InvalidArgument: ``value`` is no UUID; the violation names ``field``.
    """
    try:
        return uuid.UUID(value)
    except ValueError:
        raise InvalidArgument.of(field, "must be a UUID") from None
