"""What an answer is measured by: masks, scores, presence, boxes.

Instances go to fixed slots, the j-th from the left to query j. Matching by cost (Hungarian) left
all queries copies of one another within the budgets tried (ml2 study).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inference.training.segmenter.batches import Targets
from inference.training.segmenter.model import Answer
from inference.training.segmenter.prompts import PROMPTS

WEIGHTS = {
    "mask": 5.0,
    "dice": 3.0,
    "semantic": 10.0,
    "semantic_dice": 2.0,
    "logit": 1.0,
    "presence": 4.0,
    "box": 5.0,
    "giou": 2.0,
    "token": 10.0,
}
# Masks of prompts that name several instances count more: without it every slot drew all of them.
SEVERAL_WEIGHT = 3.0


def joint_losses(
    answer: Answer, targets: Targets, token_logits: Tensor, drawn_turns: Sequence[int]
) -> dict[str, Tensor]:
    """Weighted losses; `token_logits` (N, h * w) say which coarse cells each prompt names."""
    slots = slots_of(targets)
    rows, places = torch.where(targets.filled)
    chosen = slots[rows, places]
    wanted = torch.zeros_like(answer.logits[0])
    wanted[rows, chosen] = 1
    present = targets.filled.any(1).float()
    semantic = (targets.masks * targets.filled[:, :, None, None]).sum(1).clamp(max=1)
    coarse = functional.adaptive_avg_pool2d(semantic[:, None], int(token_logits.shape[1] ** 0.5))
    boxes, true_boxes = answer.boxes[:, rows, chosen], targets.boxes[rows, places]
    losses = {
        "logit": functional.binary_cross_entropy_with_logits(
            answer.logits, wanted.expand_as(answer.logits), reduction="none"
        )
        .sum(-1)
        .mean(),
        "presence": functional.binary_cross_entropy_with_logits(
            answer.presence, present.expand_as(answer.presence)
        ),
        "box": (boxes - true_boxes).abs().sum(-1).mean(),
        "giou": (1 - generalised_iou(boxes, true_boxes[None])).mean(),
        "token": functional.binary_cross_entropy_with_logits(
            token_logits.float(), coarse.flatten(1)
        ),
    }
    losses |= _mask_losses(answer, targets, slots, semantic, drawn_turns)
    return {name: WEIGHTS[name] * loss for name, loss in losses.items()}


def slots_of(targets: Targets) -> Tensor:
    """The query of each place (N, G): filled ones by their middle, from the left."""
    middle = targets.boxes[..., 0] + targets.boxes[..., 2]
    order: Tensor = torch.where(targets.filled, middle, 9.0).argsort(1).argsort(1)
    return order


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of boxes (..., 4) given by corners."""
    common = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(
        min=0
    )
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    inner = common.prod(-1)
    union = _area(a) + _area(b) - inner + 1e-6
    outer = hull.clamp(min=0).prod(-1) + 1e-6
    return inner / union - (outer - union) / outer


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def _mask_losses(
    answer: Answer,
    targets: Targets,
    slots: Tensor,
    semantic: Tensor,
    drawn_turns: Sequence[int],
) -> dict[str, Tensor]:
    turns = list(drawn_turns)

    def pick(whole: Tensor) -> Tensor:
        return whole.unflatten(0, (-1, PROMPTS))[:, turns].flatten(0, 1)

    filled, all_slots, all_masks = pick(targets.filled), pick(slots), pick(targets.masks)
    rows, places = torch.where(filled)
    masks, true_masks = answer.masks[rows, all_slots[rows, places]], all_masks[rows, places]
    whole, present = pick(semantic), filled.any(1)
    weight = torch.where(filled.sum(1)[rows] > 1, SEVERAL_WEIGHT, 1.0)
    weight = weight / weight.mean()
    cross = functional.binary_cross_entropy_with_logits(masks, true_masks, reduction="none")
    return {
        "mask": (cross.mean((1, 2)) * weight).mean(),
        "dice": (_dice_losses(masks, true_masks) * weight).mean(),
        "semantic": functional.binary_cross_entropy_with_logits(answer.semantic, whole),
        "semantic_dice": _dice_losses(answer.semantic[present], whole[present]).mean(),
    }


def _dice_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    """One loss per mask."""
    share, true = logits.sigmoid().flatten(1), wanted.flatten(1)
    return 1 - (2 * (share * true).sum(1) + 1) / (share.sum(1) + true.sum(1) + 1)
