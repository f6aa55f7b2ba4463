"""How a model is. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

UNLOADED = "unloaded"  # installed; the first request that means it has it loaded
STARTING = "starting"  # loading and warming up
READY = "ready"
BUSY = "busy"  # has rows in flight, so that it stays
FAILED = "failed"  # could not be loaded


@dataclass(frozen=True)
class ModelStatus:
    """How a model is.

    Attributes:
        state: One of this module's.
        rows: Rows in flight.
        size_bytes: Memory of its weights; 0 unless loaded.
        failure: Why it could not be loaded, or empty.
    """

    state: str
    rows: int = 0
    size_bytes: int = 0
    failure: str = ""
