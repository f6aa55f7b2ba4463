"""Linear layers in FP8: torch's own product of scaled matrices, weights and inputs scaled whole."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

FORMAT = torch.float8_e4m3fn
LARGEST = torch.finfo(FORMAT).max
DIVISOR = 16  # of both sides of a weight
CAPABILITY_MIN = (8, 9)


class Float8Linear(nn.Module):
    """A linear layer; weights are scaled once, inputs each time by their greatest number."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = (weight.abs().amax().float() / LARGEST).clamp(min=1e-12)
        self.register_buffer("weight", (weight / scale).to(FORMAT))
        self.register_buffer("scale", scale)
        self.bias = linear.bias
        self._is_fast = weight.is_cuda

    def forward(self, given: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        flat = given.reshape(-1, given.shape[-1])
        scale = (flat.abs().amax().float() / LARGEST).clamp(min=1e-12)
        product = torch._scaled_mm(
            (flat / scale).clamp(-LARGEST, LARGEST).to(FORMAT),
            self.weight.t(),
            scale_a=scale,
            scale_b=self.scale,
            bias=self.bias,
            out_dtype=given.dtype,
            use_fast_accum=self._is_fast,
        )
        return product.reshape(*given.shape[:-1], -1)


def why_not(device: torch.device) -> str:
    """Why this device cannot; empty: it can."""
    if device.type != "cuda":
        return ""
    capability = torch.cuda.get_device_capability(device)
    wanted = ".".join(map(str, CAPABILITY_MIN))
    return "" if capability >= CAPABILITY_MIN else f"needs compute capability {wanted}"


def in_float8(unet: nn.Module) -> nn.Module:
    """A copy whose transformer blocks multiply in FP8."""
    made = copy.deepcopy(unet)
    for name, module in list(made.named_modules()):
        if "transformer_blocks" not in name:
            continue
        for child, linear in list(module.named_children()):
            if isinstance(linear, nn.Linear) and not _odd(linear):
                setattr(module, child, Float8Linear(linear))
    return made


def _odd(linear: nn.Linear) -> bool:
    return bool(linear.in_features % DIVISOR or linear.out_features % DIVISOR)
