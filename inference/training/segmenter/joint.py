"""Stages `joint` and `fine`: whole answers to prompts, first with 32 x 32 masks, then 64 x 64."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Sam3Model

from inference.training.fastops import speed_up
from inference.training.muon import set_learning_rate
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.segmenter.batches import Batch, Batches, targets_of
from inference.training.segmenter.dense import STAGE as DENSE_STAGE
from inference.training.segmenter.dense import DenseHeads, dense_losses, load_tokenizer
from inference.training.segmenter.losses import joint_losses
from inference.training.segmenter.model import (
    ask,
    build_segmenter,
    look,
    open_fine_level,
    read,
    use_fast_attention,
)
from inference.training.segmenter.optimizers import make_optimizers
from inference.training.segmenter.prompts import ABSENT, PRESENT, PROMPTS
from inference.training.segmenter.scenes import load_data

GRADIENT_NORM_MAX = 2.0
DENSE_WEIGHT = 0.7
# Masks of one absent prompt in three are drawn: they teach the semantic map to stay empty.
DRAWN_TURNS = (*range(PRESENT + 1), *range(PRESENT + ABSENT, PROMPTS))


@dataclass(frozen=True)
class Plan:
    """One of the two stages: what it starts from, how long it is and how fast it learns."""

    stage: str
    before: str
    seed: int
    fine: bool
    scenes: int
    batch: int
    muon_rate: float
    adam_rate: float
    vision_share: float
    average_share: float  # what the averaged weights keep of themselves at each step


JOINT = Plan(
    stage="joint",
    before=DENSE_STAGE,
    seed=2,
    fine=False,
    scenes=9_600,
    batch=8,
    muon_rate=0.01,
    adam_rate=8e-4,
    vision_share=0.3,
    average_share=0.99,
)
# Twice these rates undid in 2,000 scenes what the joint stage had learned of presence.
FINE = Plan(
    stage="fine",
    before="joint",
    seed=3,
    fine=True,
    scenes=60_000,
    batch=8,
    muon_rate=0.003,
    adam_rate=3e-4,
    vision_share=0.3,
    average_share=0.998,
)


def train_joint(run: Run) -> None:
    """Trains on from the dense stage."""
    _train(run, JOINT)


def train_fine(run: Run) -> None:
    """Trains on from the joint stage, with the finest level of the pyramid."""
    _train(run, FINE)


def load_segmenter(run: Run) -> tuple[Sam3Model, str, int]:
    """The averaged weights of the furthest stage, its name, and the scenes that it has seen."""
    for plan in (FINE, JOINT):
        if state := Checkpoint(run.stage(plan.stage)).load():
            model = build_segmenter(load_tokenizer(run))
            model.load_state_dict(state["average"])
            return model.eval().requires_grad_(False), plan.stage, int(state["seen"])
    raise FileNotFoundError("neither the joint nor the fine stage has a checkpoint yet")


def _train(run: Run, plan: Plan) -> None:
    folder, tokenizer = run.stage(plan.stage), load_tokenizer(run)
    torch.manual_seed(run.seed)
    model, heads = build_segmenter(tokenizer), DenseHeads()
    both = nn.ModuleList([model, heads]).to(run.device)
    checkpoint, seen = Checkpoint(folder), 0
    state = checkpoint.load()
    if state is None:
        _begin(run, plan, both)
    else:
        both.load_state_dict(state["both"])
        seen = state["seen"]
    average = copy.deepcopy(model).requires_grad_(False)
    use_fast_attention(model)
    model.to(memory_format=torch.channels_last)
    speed_up(model, folder, run.device)
    optimizers = make_optimizers(model, heads, plan.muon_rate, plan.adam_rate, plan.vision_share)
    if state is not None:
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    batches = Batches(load_data(run), tokenizer)
    progress = Progress(plan.stage, plan.scenes, seen)
    while seen < plan.scenes:
        step = seen // plan.batch
        rng = np.random.default_rng([run.seed, plan.seed, step])
        batch = batches.draw(rng, plan.batch).to(run.device)
        set_learning_rate(optimizers, learning_rate_share(seen / plan.scenes, 0.02, 0.05))
        losses = _losses(run, plan, model, heads, batch)
        both.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), GRADIENT_NORM_MAX)
        for optimizer in optimizers:
            optimizer.step()
        _follow(average, model, step, plan.average_share)
        seen += plan.batch
        progress.update(seen, **{name: loss.item() for name, loss in losses.items()})
        if checkpoint.is_due() or seen >= plan.scenes:
            checkpoint.save(
                {
                    "both": both.state_dict(),
                    "average": average.state_dict(),
                    "optimizers": [o.state_dict() for o in optimizers],
                    "seen": seen,
                }
            )
    run.mark_done(plan.stage, f"{seen} scenes, {seen * PROMPTS} prompts")


def _begin(run: Run, plan: Plan, both: nn.ModuleList) -> None:
    state = Checkpoint(run.stage(plan.before)).load()
    if state is None:
        raise FileNotFoundError(f"the {plan.before} stage has no checkpoint yet")
    both.load_state_dict(state["both"])
    if "average" in state:
        both[0].load_state_dict(state["average"])
    if plan.fine:
        open_fine_level(both[0])


def _losses(
    run: Run, plan: Plan, model: Sam3Model, heads: DenseHeads, batch: Batch
) -> dict[str, Tensor]:
    with torch.autocast(run.device.type, torch.bfloat16):
        features = look(model, batch.pictures, fine=plan.fine)
        text = read(model, batch.ids, batch.attention)
        attention = batch.attention.bool()
        answer = ask(model, features, text[batch.phrase], attention[batch.phrase], DRAWN_TURNS)
    side = features.levels[0].shape[-1]
    tokens = heads.token(heads.token_norm(answer.tokens.float())).squeeze(-1)
    losses = joint_losses(answer, targets_of(batch, side), tokens, DRAWN_TURNS)
    dense = dense_losses(heads, features, text, batch)
    losses["dense"] = DENSE_WEIGHT * torch.stack(list(dense.values())).sum()
    return losses


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, step: int, most: float) -> None:
    share = 1 - min(most, (step + 1) / (step + 10))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)
