"""Stages `joint` and `fine`: whole answers to prompts, first with 32 x 32 masks, then 64 x 64."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer, Sam3Model

from inference.training.fastops import speed_up
from inference.training.muon import set_learning_rate
from inference.training.precision import autocast
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.segmenter.batches import Batch, Batches, targets_of
from inference.training.segmenter.dense import (
    PLACES,
    DenseHeads,
    begin_from,
    dense_losses,
    load_tokenizer,
)
from inference.training.segmenter.glances import glance
from inference.training.segmenter.instances import InstanceHeads, order_loss, place_losses
from inference.training.segmenter.losses import joint_losses
from inference.training.segmenter.model import (
    ask,
    build_segmenter,
    calm_pyramid,
    look,
    open_fine_level,
    read,
    use_fast_attention,
    without_fine_level,
)
from inference.training.segmenter.optimizers import make_optimizers
from inference.training.segmenter.processor import Segmenter
from inference.training.segmenter.prompts import ABSENT, PRESENT, PROMPTS
from inference.training.segmenter.scenes import SIDE_PX, load_data

GRADIENT_NORM_MAX = 2.0
DENSE_WEIGHT, ORDER_WEIGHT = 0.7, 3.0
CALMING_SCENES = 64
DENSE_LEVELS = 2  # the coarsest; the finest, opened late, is left to the masks
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
    glance_every: int  # scenes between two looks at scenes that are not trained on


JOINT = Plan(
    stage="joint",
    before=PLACES.stage,
    seed=2,
    fine=False,
    scenes=16_000,
    batch=8,
    muon_rate=0.01,
    adam_rate=8e-4,
    vision_share=0.3,
    average_share=0.99,
    glance_every=1_600,
)
# At twice these rates the masks came loose within 600 scenes (dice loss .36 to .60).
FINE = Plan(
    stage="fine",
    before="joint",
    seed=3,
    fine=True,
    scenes=24_000,
    batch=8,
    muon_rate=0.003,
    adam_rate=3e-4,
    vision_share=0.3,
    average_share=0.998,
    glance_every=4_800,
)


def train_joint(run: Run) -> None:
    """Trains on from the places stage."""
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


@dataclass(frozen=True)
class Parts:
    """The model and the readers that are dropped after training."""

    model: Sam3Model
    heads: DenseHeads
    instances: InstanceHeads

    def together(self) -> nn.ModuleList:
        """In the order of the checkpoints."""
        return nn.ModuleList([self.model, self.heads, self.instances])


def _train(run: Run, plan: Plan) -> None:
    folder, tokenizer = run.stage(plan.stage), load_tokenizer(run)
    torch.manual_seed(run.seed)
    parts = Parts(build_segmenter(tokenizer), DenseHeads(), InstanceHeads())
    model, both = parts.model, parts.together().to(run.device)
    batches = Batches(load_data(run), tokenizer)
    checkpoint, seen = Checkpoint(folder), 0
    state = checkpoint.load()
    if state is None:
        _begin(run, plan, both, batches)
    else:
        both.load_state_dict(state["both"])
        seen = state["seen"]
    average = copy.deepcopy(model).requires_grad_(False).eval()
    use_fast_attention(model)
    model.to(memory_format=torch.channels_last)
    speed_up(model, folder, run.device)
    optimizers = make_optimizers(model, both[1:], plan.muon_rate, plan.adam_rate, plan.vision_share)
    if state is not None:
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    progress = Progress(plan.stage, plan.scenes, seen)
    while seen < plan.scenes:
        step = seen // plan.batch
        rng = np.random.default_rng([run.seed, plan.seed, step])
        batch = batches.draw(rng, plan.batch).to(run.device)
        set_learning_rate(optimizers, learning_rate_share(seen / plan.scenes, 0.02, 0.05))
        losses = _losses(run, plan, parts, batch)
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
        if seen % plan.glance_every == 0:
            print(f"{plan.stage} {seen}: {glance(_asked(average, tokenizer, plan))}", flush=True)
    run.mark_done(plan.stage, f"{seen} scenes, {seen * PROMPTS} prompts")


def _begin(run: Run, plan: Plan, both: nn.ModuleList, batches: Batches) -> None:
    begin_from(run, plan.before, both)
    if plan.fine:
        open_fine_level(both[0])
    else:
        sample = batches.draw(np.random.default_rng([run.seed, plan.seed]), CALMING_SCENES)
        calm_pyramid(both[0], sample.pictures)


def _asked(average: Sam3Model, tokenizer: CLIPTokenizer, plan: Plan) -> Segmenter:
    model = average if plan.fine else without_fine_level(average, tokenizer)
    return Segmenter(model, tokenizer, SIDE_PX)


def _losses(run: Run, plan: Plan, parts: Parts, batch: Batch) -> dict[str, Tensor]:
    model, heads, instances = parts.model, parts.heads, parts.instances
    with autocast(run.device):
        features = look(model, batch.pictures, fine=plan.fine)
        text = read(model, batch.ids, batch.attention)
        attention = batch.attention.bool()
        answer = ask(model, features, text[batch.phrase], attention[batch.phrase], DRAWN_TURNS)
    targets = targets_of(batch, features.levels[0].shape[-1])
    tokens = heads.token(heads.token_norm(answer.tokens.float())).squeeze(-1)
    losses = joint_losses(answer, targets, tokens, DRAWN_TURNS)
    losses["order"] = ORDER_WEIGHT * order_loss(instances, answer.tokens, targets)
    taught = replace(features, levels=features.levels[-DENSE_LEVELS:])
    places = place_losses(instances, taught, batch)
    losses["where"] = DENSE_WEIGHT * torch.stack(list(places.values())).sum()
    dense = dense_losses(heads, taught, text, batch)
    losses["dense"] = DENSE_WEIGHT * torch.stack(list(dense.values())).sum()
    return losses


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, step: int, most: float) -> None:
    share = 1 - min(most, (step + 1) / (step + 10))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)
