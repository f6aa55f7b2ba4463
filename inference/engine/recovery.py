"""Running a batch so that one bad row, or too little memory, does not take the others along."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from inference.engine.errors import ModelFailed

log = logging.getLogger(__name__)

In = TypeVar("In")
Out = TypeVar("Out")


def each(
    work: Callable[[Sequence[In]], Sequence[Out]],
    rows: Sequence[In],
    clear_cache: Callable[[], None],
) -> list[Out | ModelFailed]:
    """Runs ``work`` on all rows, and once more in parts where that failed.

    Out of memory: the cache is cleared and the rows are halved. Any other failure: each row alone,
    so that only the one at fault fails. ``work`` must not change the rows.

    Returns:
        For every row its result, or why there is none.
    """
    parts = _attempt(work, rows)
    if not isinstance(parts, Exception):
        return list(parts)
    if isinstance(parts, torch.OutOfMemoryError):
        clear_cache()
        half = (len(rows) + 1) // 2
        groups = [rows[:half], rows[half:]]
    else:
        groups = [[row] for row in rows]
    return [one for group in groups if group for one in _last_attempt(work, group)]


def _last_attempt(
    work: Callable[[Sequence[In]], Sequence[Out]], rows: Sequence[In]
) -> Sequence[Out | ModelFailed]:
    result = _attempt(work, rows)
    if not isinstance(result, Exception):
        return result
    short = isinstance(result, torch.OutOfMemoryError)
    cause = "out of memory" if short else type(result).__name__
    return [ModelFailed(f"the model failed: {cause}") for _ in rows]


def _attempt(
    work: Callable[[Sequence[In]], Sequence[Out]], rows: Sequence[In]
) -> Sequence[Out] | Exception:
    try:
        return work(rows)
    except Exception as error:
        log.warning("a batch of %d failed", len(rows), exc_info=True)
        # Its frames hold the tensors that did not fit.
        return error.with_traceback(None)
