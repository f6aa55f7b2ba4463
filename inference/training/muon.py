"""Muon: momentum whose update is orthogonalised (Jordan et al. 2024), for matrices and kernels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from inference.training.parallel import add_up, rank, size
from inference.training.precision import has_fast_bfloat16

# Coefficients per Newton-Schulz step as in Polar Express (Amsel et al. 2025), first four of them.
_STEPS = (
    (8.2051, -22.9019, 16.4607),
    (4.0664, -2.8612, 0.5184),
    (3.9096, -2.8234, 0.5250),
    (3.2856, -2.4153, 0.4853),
)
_WIDE = 1.5  # columns to a row, from where the detour over the square matrix pays
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
        """One update; processes that train together share the work."""
        for group in self.param_groups:
            parameters = [one for one in group["params"] if one.grad is not None]
            changes = _orthogonal([self._update(one, group["momentum"]) for one in parameters])
            for parameter, change in zip(parameters, changes, strict=True):
                scale = _ADAMW_RMS * max(change.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(change.reshape(parameter.shape), alpha=-group["lr"] * scale)

    def _update(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's, as a matrix."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        mean = state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(mean, momentum).reshape(parameter.shape[0], -1)


def _orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Every matrix made orthogonal; those of one shape together, some by each process."""
    loads = [0.0] * size()
    shares: dict[torch.Size, list[int]] = defaultdict(list)
    for at in sorted(range(len(matrices)), key=lambda at: -_work(matrices[at])):
        lightest = loads.index(min(loads))
        loads[lightest] += _work(matrices[at])
        if lightest == rank():
            shares[matrices[at].shape].append(at)
    made = [torch.zeros_like(matrix) for matrix in matrices]
    for share in shares.values():
        together = orthogonalise(torch.stack([matrices[at] for at in share]))
        for at, matrix in zip(share, together, strict=True):
            made[at] = matrix
    add_up(made)
    return made


def _work(matrix: Tensor) -> float:
    """What it costs to make a matrix orthogonal, in multiplications."""
    rows, columns = sorted(matrix.shape)
    return 2.0 * rows**2 * (columns + 6 * rows)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearest orthogonal matrices of (K, rows, columns) by Newton-Schulz; bf16 is enough."""
    x = matrices.bfloat16() if has_fast_bfloat16(matrices.device) else matrices.float()
    tall = x.size(-2) > x.size(-1)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7)
    if x.dtype == torch.float32 and x.size(-1) > _WIDE * x.size(-2):
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
    one = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    product = factor = _factor(gram, one, *_STEPS[0])
    for coefficients in _STEPS[1:]:
        gram = factor @ gram @ factor
        factor = _factor(gram, one, *coefficients)
        product = factor @ product
    return product @ x


def _factor(gram: Tensor, one: Tensor, a: float, b: float, c: float) -> Tensor:
    return a * one + b * gram + c * (gram @ gram)


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
