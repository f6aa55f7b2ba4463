"""Running a batch so that one bad row, or too little memory, does not take the others along."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import torch

from inference.engine.caps import Caps
from inference.engine.errors import EngineError, ModelFailed

log = logging.getLogger(__name__)

In = TypeVar("In")
Out = TypeVar("Out")
Key = TypeVar("Key", bound=Hashable)

_NO_MEMORY = "can't allocate memory"  # how torch says it of the machine's own


def each(
    work: Callable[[Sequence[In]], Sequence[Out]],
    rows: Sequence[In],
    clear_cache: Callable[[], None],
) -> list[Out | EngineError]:
    """Runs ``work`` on all rows, and once more in parts where that failed.

    Out of memory: the cache is cleared and the rows are halved. Any other failure: each row alone,
    so that only the one at fault fails. What the engine itself refuses is not tried again. ``work``
    must not change the rows.

    Returns:
        For every row its result, or why there is none.
    """
    parts = _attempt(work, rows)
    if not isinstance(parts, Exception):
        return list(parts)
    if isinstance(parts, EngineError) and len(rows) == 1:
        return [parts]
    if short_of_memory(parts):
        clear_cache()
        half = (len(rows) + 1) // 2
        groups = [rows[:half], rows[half:]]
    else:
        groups = [[row] for row in rows]
    return [one for group in groups if group for one in _last_attempt(work, group)]


def each_within(
    caps: Caps[Key],
    key: Key,
    most: int,
    work: Callable[[Sequence[In]], Sequence[Out]],
    rows: Sequence[In],
    clear_cache: Callable[[], None],
) -> tuple[list[Out | EngineError], bool]:
    """As :func:`each`, and has the caps learn how many rows a call may take.

    Args:
        caps: Of calls like this one.
        key: What calls have in common that take the same memory.
        most: Rows of a call where memory suffices.
        work: As above, as are the others.
        rows: What the call is for.
        clear_cache: Called where memory was short.

    Returns:
        For every row its result, or why there is none; and whether memory was short.
    """
    memory_short = False

    def clear() -> None:
        nonlocal memory_short
        memory_short = True
        clear_cache()

    made = each(work, rows, clear)
    if memory_short:
        caps.short(key, len(rows))
    else:
        caps.went_well(key, len(rows), most)
    return made, memory_short


def short_of_memory(error: Exception) -> bool:
    """Whether an error says that memory was short, the card's or the machine's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY in str(error)


def _last_attempt(
    work: Callable[[Sequence[In]], Sequence[Out]], rows: Sequence[In]
) -> Sequence[Out | EngineError]:
    result = _attempt(work, rows)
    if not isinstance(result, Exception):
        return result
    if isinstance(result, EngineError):
        return [result] * len(rows)
    cause = "out of memory" if short_of_memory(result) else type(result).__name__
    return [ModelFailed(f"the model failed: {cause}") for _ in rows]


def _attempt(
    work: Callable[[Sequence[In]], Sequence[Out]], rows: Sequence[In]
) -> Sequence[Out] | Exception:
    try:
        return work(rows)
    except EngineError as error:
        return error
    except Exception as error:
        log.warning("a batch of %d failed", len(rows), exc_info=True)
        # Its frames hold the tensors that did not fit.
        return error.with_traceback(None)
