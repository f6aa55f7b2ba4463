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
    """Runs ``work`` on all rows, and again in parts where that failed.

    Out of memory: the cache is cleared and the rows are halved, once. Any other failure: each row
    alone, so that only the one at fault fails. ``work`` must not change the rows.

    Returns:
        For every row its result, or why there is none.
    """
    return _each(work, rows, clear_cache, halved=False)


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


def _each(
    work: Callable[[Sequence[In]], Sequence[Out]],
    rows: Sequence[In],
    clear_cache: Callable[[], None],
    halved: bool,
) -> list[Out | EngineError]:
    made = _attempt(work, rows)
    if not isinstance(made, Exception):
        return list(made)
    if short_of_memory(made):
        if halved:
            return [ModelFailed("the model failed: out of memory") for _ in rows]
        clear_cache()
        halved = True
        half = (len(rows) + 1) // 2
        parts = [rows[:half], rows[half:]]
    elif len(rows) == 1:
        refused = isinstance(made, EngineError)
        return [made if refused else ModelFailed(f"the model failed: {type(made).__name__}")]
    else:
        parts = [[row] for row in rows]
    return [one for part in parts if part for one in _each(work, part, clear_cache, halved)]


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
