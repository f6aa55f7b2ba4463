"""Faster CPU training of diffusers models; the weights and the exported classes stay the same.

Two operations throttle it (measured, ml2 study): the backward of GroupNorm in channels-last, here
replaced by `gn.c`, and the backward of fused attention, replaced by plain attention.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn

SOURCE = Path(__file__).with_name("gn.c")
_FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC")


@cache
def load_library(folder: Path) -> ctypes.CDLL | None:
    """Compiles `gn.c` into `folder`; None without gcc, then torch's own GroupNorm is used."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    library_path = folder / f"gn-{os.getpid()}.so"  # several processes may train together
    command = [gcc, *_FLAGS, str(SOURCE), "-o", str(library_path), "-lm"]
    subprocess.run(command, check=True)
    os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())  # read when the library loads
    library = ctypes.CDLL(str(library_path))
    library_path.unlink()  # what is loaded stays
    pointer, number = ctypes.c_void_p, ctypes.c_long
    for kind in ("bf16", "f32"):
        forward = getattr(library, f"forward_{kind}")
        backward = getattr(library, f"backward_{kind}")
        forward.argtypes = [pointer] * 6 + [number] * 4 + [ctypes.c_float]
        backward.argtypes = [pointer] * 8 + [number] * 4
        forward.restype = backward.restype = None
    return library


class _GroupNormFunction(torch.autograd.Function):
    """GroupNorm of (N, C, H, W) in channels-last; fp32 weights, bf16 or fp32 activations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: FastGroupNorm, weight: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        batch, channels, height, width = x.shape
        y = torch.empty_like(x, memory_format=torch.channels_last)
        mean, rstd = torch.empty(batch, norm.num_groups), torch.empty(batch, norm.num_groups)
        getattr(norm.library, f"forward_{_kind(x)}")(
            x.data_ptr(),
            y.data_ptr(),
            mean.data_ptr(),
            rstd.data_ptr(),
            weight.data_ptr(),
            bias.data_ptr(),
            batch,
            height * width,
            channels,
            norm.num_groups,
            norm.eps,
        )
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.norm = norm
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        x, weight, mean, rstd = ctx.saved_tensors
        batch, channels, height, width = x.shape
        dy = grads[0].to(x.dtype).contiguous(memory_format=torch.channels_last)
        dx = torch.empty_like(x, memory_format=torch.channels_last)
        dweight, dbias = torch.zeros(channels), torch.zeros(channels)
        getattr(ctx.norm.library, f"backward_{_kind(x)}")(
            x.data_ptr(),
            dy.data_ptr(),
            dx.data_ptr(),
            mean.data_ptr(),
            rstd.data_ptr(),
            weight.data_ptr(),
            dweight.data_ptr(),
            dbias.data_ptr(),
            batch,
            height * width,
            channels,
            ctx.norm.num_groups,
        )
        return dx, None, dweight, dbias


class FastGroupNorm(nn.GroupNorm):
    """`nn.GroupNorm` with the compiled kernels where a gradient is wanted."""

    library: ctypes.CDLL

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's own name)
        """(N, C, H, W) to the same shape."""
        if input.dim() != 4 or not torch.is_grad_enabled():
            return super().forward(input)
        result: Tensor = _GroupNormFunction.apply(input, self, self.weight, self.bias)
        return result


def speed_up(model: nn.Module, folder: Path, device: torch.device) -> None:
    """Swaps the slow operations of `model` in place; does nothing off the CPU."""
    if device.type != "cpu":
        return
    library = load_library(folder)
    for module in model.modules():
        if library is not None and type(module) is nn.GroupNorm:
            module.__class__ = FastGroupNorm
            module.library = library
    if hasattr(model, "set_attn_processor"):
        model.set_attn_processor(AttnProcessor())


def _kind(x: Tensor) -> str:
    return "bf16" if x.dtype == torch.bfloat16 else "f32"
