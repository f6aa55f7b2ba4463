"""Muon for the matrices of the segmenter, AdamW for everything else."""

from __future__ import annotations

import torch
from torch import nn
from transformers import Sam3Model

NOT_MATRICES = ("embed", "reference_points", "presence_token", "rpb", "heads.")
UNTRAINED = "geometry_encoder"  # boxes as prompts are not taught
WEIGHT_DECAY = 0.02
MATRIX_SIDE_MIN = 16


def make_optimizers(
    model: Sam3Model,
    heads: nn.Module,
    muon_rate: float,
    adam_rate: float,
    vision_share: float = 1.0,
) -> list[torch.optim.Optimizer]:
    """Both optimizers; the vision encoder learns at `vision_share` of the rates."""
    named = [(name, p) for name, p in model.named_parameters() if UNTRAINED not in name]
    named += [(f"heads.{name}", parameter) for name, parameter in heads.named_parameters()]
    muon: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    adam: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        sees = name.startswith("vision_encoder")
        if _is_matrix(name, parameter):
            muon[sees].append(parameter)
        else:
            adam.setdefault((sees, parameter.ndim > 1), []).append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(
            [
                {"params": group, "lr": muon_rate * (vision_share if sees else 1)}
                for sees, group in muon.items()
            ],
            lr=muon_rate,
            weight_decay=WEIGHT_DECAY,
            momentum=0.95,
            nesterov=True,
        ),
        torch.optim.AdamW(
            [
                {
                    "params": group,
                    "lr": adam_rate * (vision_share if sees else 1),
                    "weight_decay": WEIGHT_DECAY if wide else 0.0,
                }
                for (sees, wide), group in adam.items()
            ],
            betas=(0.9, 0.98),
        ),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return (
        parameter.ndim == 2
        and min(parameter.shape) >= MATRIX_SIDE_MIN
        and not any(part in name for part in NOT_MATRICES)
    )
