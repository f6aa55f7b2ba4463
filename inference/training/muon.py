"""Muon: momentum whose update is orthogonalised (Jordan et al. 2024), for matrices and kernels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from inference.training.precision import has_fast_bfloat16

# Coefficients per Newton-Schulz step as in Polar Express (Amsel et al. 2025), first four of them.
_STEPS = (
    (8.2051, -22.9019, 16.4607),
    (4.0664, -2.8612, 0.5184),
    (3.9096, -2.8234, 0.5250),
    (3.2856, -2.4153, 0.4853),
)
_ADAMW_RMS = 0.2  # update size matched to AdamW's, so that learning rates compare


class Muon(torch.optim.Optimizer):
    """Tensors of two or more dimensions; kernels are flattened to (out, rest)."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(
            list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One update; same-shaped tensors are orthogonalised together."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                mean = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(mean, group["momentum"])
                update = update.reshape(parameter.shape[0], -1)
                by_shape[tuple(update.shape)].append((parameter, update))
            for (rows, columns), pairs in by_shape.items():
                size = _ADAMW_RMS * max(rows, columns) ** 0.5
                steps = orthogonalise(torch.stack([update for _, update in pairs])) * size
                for (parameter, _), change in zip(pairs, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(change.reshape(parameter.shape), alpha=-group["lr"])


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearest orthogonal matrices of (K, rows, columns) by Newton-Schulz; bf16 is enough."""
    x = matrices.bfloat16() if has_fast_bfloat16(matrices.device) else matrices.float()
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7)
    if x.dtype == torch.float32:
        x = _by_gram(x)
    else:
        for a, b, c in _STEPS:
            gram = x @ x.mT
            x = a * x + (b * gram + c * (gram @ gram)) @ x
    return (x.mT if tall else x).float()


def _by_gram(x: Tensor) -> Tensor:
    """The same steps on the square matrix x x^T, a third of the work for wide kernels.

    Squaring loses digits, which float32 has to spare and bfloat16 has not.
    """
    gram = x @ x.mT
    product = one = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    for a, b, c in _STEPS:
        factor = a * one + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    return product @ x


def make_optimizers(
    model: nn.Module, lr: float, adam_share: float, skip: tuple[str, ...]
) -> list[torch.optim.Optimizer]:
    """Muon at `lr` for wide tensors whose names hold none of `skip`; AdamW for the rest."""
    wide, rest = [], []
    for name, parameter in model.named_parameters():
        narrow = (
            parameter.dim() < 2
            or min(parameter.shape[0], parameter.numel() // parameter.shape[0]) < 8
        )
        named = any(part in name for part in skip)
        (rest if narrow or named else wide).append(parameter)
    adam = torch.optim.AdamW(rest, lr * adam_share, betas=(0.9, 0.98), weight_decay=0.0)
    optimizers = [Muon(wide, lr), adam]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def set_learning_rate(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Sets every group to `share` of the rate that it was made with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * share
