"""Half precision where the processor gains by it, and nowhere else."""

from __future__ import annotations

import time
from functools import cache

import torch

_GAIN_MIN = 1.5  # of a product, or casts to and fro cost more than it saves
_WIDTH, _TRIES = 512, 5


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU, and on CPUs that are faster with it; float32 elsewhere."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bfloat16(device))


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 much faster than float32."""
    return device.type != "cpu" or _cpu_gains()


@cache
def _cpu_gains() -> bool:
    """Measured where there are instructions for it, which tell little.

    Without them bfloat16 is emulated: a product ran at 0.8 instead of 71 GFLOP/s. With those of
    AVX-512 one ran at 96 instead of 118, and the text stage at half the rate.
    """
    able = torch.cpu.get_capabilities()
    if not (able.get("avx512_bf16") or able.get("amx_bf16")):
        return False
    return _seconds(torch.float32) > _GAIN_MIN * _seconds(torch.bfloat16)


def _seconds(dtype: torch.dtype) -> float:
    """The least that a product of two matrices takes."""
    square = torch.ones(_WIDTH, _WIDTH, dtype=dtype)
    took = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        square @ square
        took.append(time.perf_counter() - began)
    return min(took[1:])
