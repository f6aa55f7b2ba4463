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
        waiting: Rows in line.
        steps: Steps that were done since the engine began, as of all that follows.
        step_seconds: What they took together.
        halvings: Steps for which memory was short, so that they were done in halves.
        loads: How often it was loaded.
    """

    state: str
    rows: int = 0
    size_bytes: int = 0
    failure: str = ""
    waiting: int = 0
    steps: int = 0
    step_seconds: float = 0.0
    halvings: int = 0
    loads: int = 0
