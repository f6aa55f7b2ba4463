"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time at which they were made."""

from __future__ import annotations

import os
import time
import uuid

from kit.errors import InvalidArgument


def uuid7() -> uuid.UUID:
    """Returns a new id: 48 bits of Unix milliseconds, version, 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def parse_id(value: str, field: str) -> uuid.UUID:
    """Reads an id from a request.

    Raises:
        InvalidArgument: ``value`` is no UUID; the violation names ``field``.
    """
    try:
        return uuid.UUID(value)
    except ValueError:
        raise InvalidArgument.of(field, "must be a UUID") from None
