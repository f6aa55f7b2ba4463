"""One hostile file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    """A file that must be refused.

    Attributes:
        name: What is wrong with it.
        content_type: What it says it is.
        data: Its bytes.
        reason: Why it must be refused.
    """

    name: str
    content_type: str
    data: bytes
    reason: str
