"""Which instance a cell belongs to: without it no mask can tell two of a kind apart.

A mask is the product of a query and the pixels' features. Features taught classes and colours only
held nothing of the place (a linear reading of x explained none of its variance), so every query
drew every instance. Here each cell of an object says where its object is, and, once a prompt is
given, the how-manieth from the left of the things named it belongs to.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.training.segmenter.batches import Batch, Targets, label_boxes, label_shares
from inference.training.segmenter.losses import SEVERAL_WEIGHT, slots_of
from inference.training.segmenter.model import FUSION_WIDTH, Features
from inference.training.world.layouts import OBJECTS_MAX
from inference.training.world.scenes import FIRST_OBJECT

BINS = 16
SIDES = 4  # middle x, middle y, width, height
CLEAR_SHARE = 0.6  # a cell counts when one label fills at least this much of it
NAMED_SHARE = 0.5


class InstanceHeads(nn.Module):
    """Readers of the instance from cells, dropped after training."""

    def __init__(self) -> None:
        super().__init__()
        self.cell_norm = nn.LayerNorm(FUSION_WIDTH)
        self.where = nn.Linear(FUSION_WIDTH, SIDES * BINS)
        self.token_norm = nn.LayerNorm(FUSION_WIDTH)
        self.order = nn.Linear(FUSION_WIDTH, OBJECTS_MAX)


def place_losses(heads: InstanceHeads, features: Features, batch: Batch) -> dict[str, Tensor]:
    """Cross entropies, per level, of where each clear cell says that its object is."""
    boxes, _ = label_boxes(batch.labels)
    corners, ends = boxes.split(2, -1)
    places = two_hot(torch.cat([(corners + ends) / 2, ends - corners], -1))
    losses = {}
    for order, level in enumerate(features.levels):
        shares = label_shares(batch.labels, level.shape[-1]).flatten(2).transpose(1, 2)
        share, label = shares.max(-1)
        is_clear = (label >= FIRST_OBJECT) & (share > CLEAR_SHARE)
        scene, cell = torch.where(is_clear)
        cells = level.flatten(2).transpose(1, 2)[scene, cell].float()
        guesses = heads.where(heads.cell_norm(cells)).unflatten(-1, (SIDES, BINS))
        wanted = places[scene, label[scene, cell]]
        losses[f"where{order}"] = functional.cross_entropy(
            guesses.flatten(0, 1), wanted.flatten(0, 1)
        )
    return losses


def order_loss(heads: InstanceHeads, tokens: Tensor, targets: Targets) -> Tensor:
    """Cross entropy of the slot of each named cell; tokens (N, h * w, width) know the prompt.

    Cells of prompts that name several things count more.
    """
    side = round(tokens.shape[1] ** 0.5)
    shown = targets.masks * targets.filled[:, :, None, None]
    share, place = functional.adaptive_avg_pool2d(shown, side).flatten(2).max(1)
    row, cell = torch.where(share > NAMED_SHARE)
    wanted = slots_of(targets)[row, place[row, cell]]
    guesses = heads.order(heads.token_norm(tokens[row, cell].float()))
    weight = torch.where(targets.filled.sum(1)[row] > 1, SEVERAL_WEIGHT, 1.0)
    each = functional.cross_entropy(guesses, wanted, reduction="none")
    return (each * weight).sum() / weight.sum().clamp(min=1)


def two_hot(values: Tensor) -> Tensor:
    """Shares 0-1 (...) as weights (..., BINS) of the two nearest of `BINS` even marks."""
    marks = torch.linspace(0, 1, BINS, device=values.device)
    return (1 - (values[..., None] - marks).abs() * (BINS - 1)).clamp(min=0)
