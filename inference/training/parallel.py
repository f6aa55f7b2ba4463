"""One training on several processes of a machine: each takes its share of every batch.

On CPUs that is faster than threads: two threads trained the denoiser 1.15 times as fast as one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing, nn

_LOOPBACK = "lo"


def run_together(processes: int, work: Callable[..., None], *args: Any) -> None:
    """Calls `work(*args)` in each of `processes` processes, which know of each other.

    An error in one ends all and is raised here.
    """
    if processes == 1:
        work(*args)
        return
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(
            _join, (processes, Path(folder) / "meeting", work, args), nprocs=processes
        )


def rank() -> int:
    """Which of the processes this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Gives every process the mean of all gradients."""
    if size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    add_up(gradients)
    for gradient in gradients:
        gradient.div_(size())


def add_up(tensors: Sequence[Tensor]) -> None:
    """Gives every process the sums of what all of them have."""
    if size() == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def _join(
    order: int, processes: int, meeting: Path, work: Callable[..., None], args: tuple[Any, ...]
) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK)
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=order, world_size=processes
    )
    try:
        work(*args)
    finally:
        distributed.destroy_process_group()
