"""Stages `small` and `large`: the denoiser, v-prediction on latents, text encoders frozen.

`small` learns at 128 px, single objects first and several after; `large` goes on at 256 px.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from inference.training.fastops import speed_up
from inference.training.generator.autoencoder import follow
from inference.training.generator.latents import FULL_PLANS, HALF_PLANS, load_latents
from inference.training.generator.models import SCHEDULE, build_unet
from inference.training.generator.text import Encoders, encode_text, load_text_encoders
from inference.training.muon import make_optimizers, set_learning_rate
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.tokens import token_ids
from inference.training.world.captions import caption
from inference.training.world.layouts import Layout
from inference.training.world.shelves import ShelfPlan

BATCH = 64
ADAM_SHARE = 0.7
WARM_UP = 0.01
CAPTIONS_PER_SCENE = 3
DROPPED_SHARE = 0.1  # captions replaced by zeros, which is SDXL's empty prompt
HIGH_NOISE = 700  # time steps above this one decide shape and place; their loss is told apart


@dataclass(frozen=True)
class Plan:
    """One of the two stages: its scenes, how long it is and how fast it learns.

    `many_share` of the batches show several objects: first the one share, from the share
    `many_from` of the stage on the other. `square_share` of them are square.
    """

    stage: str
    before: str | None
    seed: int
    shelves: Sequence[ShelfPlan]
    samples: int
    learning_rate: float
    decay_from: float
    average_share: float
    many_share: tuple[float, float]
    many_from: float
    square_share: float


SMALL = Plan(
    stage="small",
    before=None,
    seed=5,
    shelves=HALF_PLANS,
    samples=352_000,
    learning_rate=2e-3,
    decay_from=0.8,
    average_share=0.999,
    many_share=(0.2, 0.6),
    many_from=0.13,
    square_share=0.75,
)
LARGE = Plan(
    stage="large",
    before="small",
    seed=6,
    shelves=FULL_PLANS,
    samples=128_000,
    learning_rate=1e-3,
    decay_from=0.5,
    average_share=0.999,
    many_share=(0.6, 0.6),
    many_from=0.0,
    square_share=0.7,
)


@dataclass(frozen=True)
class Shelf:
    """Latents of one size (N, 4, h, w), captions as ids (N, K, T), SDXL's size ids (6,).

    Pictures of several objects are never flipped: their captions say left and right.
    """

    latents: Tensor
    ids: Tensor
    size_ids: Tensor
    is_square: bool
    has_many: bool


@dataclass(frozen=True)
class Batch:
    """Noised latents, their time steps, the v target, and the conditions."""

    noised: Tensor
    steps: Tensor
    target: Tensor
    ids: Tensor
    dropped: Tensor
    size_ids: Tensor


def train_small(run: Run) -> None:
    """Trains from the start at 128 px."""
    train_plan(run, SMALL)


def train_large(run: Run) -> None:
    """Trains on at 256 px."""
    train_plan(run, LARGE)


def load_average(run: Run) -> tuple[UNet2DConditionModel, Plan, int]:
    """The averaged weights of the furthest stage, and the samples that it has seen."""
    for plan in (LARGE, SMALL):
        if found := average_of(run, plan):
            return found[0], plan, found[1]
    raise FileNotFoundError("neither the small nor the large stage has a checkpoint yet")


def average_of(run: Run, plan: Plan) -> tuple[UNet2DConditionModel, int] | None:
    """The averaged weights of one stage, and the samples that it has seen; None: not begun."""
    state = Checkpoint(run.stage(plan.stage)).load()
    if state is None:
        return None
    unet = build_unet()
    unet.load_state_dict(state["average"])
    return unet.eval().requires_grad_(False), int(state["seen"])


def load_shelves(run: Run, plan: Plan) -> tuple[list[Shelf], Encoders]:
    """Latents with their captions, and the frozen encoders on the run's device."""
    tokenizer, encoders = load_text_encoders(run)
    for encoder in encoders:
        encoder.to(run.device)
    shelves = []
    for order, shelf_plan in enumerate(plan.shelves):
        shelf = load_latents(run, shelf_plan)
        texts = caption_texts(shelf.layouts, (run.seed, plan.seed, order))
        ((width, height),) = shelf_plan.sizes
        shelves.append(
            Shelf(
                shelf.latents,
                token_ids(tokenizer, texts).view(len(shelf.layouts), CAPTIONS_PER_SCENE, -1),
                torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32),
                is_square=width == height,
                has_many=shelf_plan.counts[0] < 1,
            )
        )
    return shelves, encoders


def caption_texts(layouts: Sequence[Layout], seed: tuple[int, int, int]) -> list[str]:
    """`CAPTIONS_PER_SCENE` captions for each scene in turn."""
    rng = np.random.default_rng(list(seed))
    return [caption(layout, rng).text for layout in layouts for _ in range(CAPTIONS_PER_SCENE)]


def train_plan(run: Run, plan: Plan) -> None:
    """Trains a stage to its end, from its checkpoint where it has one."""
    folder = run.stage(plan.stage)
    shelves, encoders = load_shelves(run, plan)
    torch.manual_seed(run.seed)
    unet = build_unet().to(run.device, memory_format=torch.channels_last)
    checkpoint, seen = Checkpoint(folder), 0
    state = checkpoint.load()
    if state is None:
        _begin(run, plan, unet)
    else:
        unet.load_state_dict(state["model"])
        seen = state["seen"]
    average = copy.deepcopy(unet).requires_grad_(False)
    speed_up(unet, folder, run.device)
    optimizers = make_optimizers(unet, plan.learning_rate, ADAM_SHARE, ("conv_in", "conv_out"))
    if state is not None:
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    progress = Progress(plan.stage, plan.samples, seen)
    while seen < plan.samples:
        step = seen // BATCH
        torch.manual_seed(run.seed + step)
        rng = np.random.default_rng([run.seed, plan.seed, step])
        batch = draw_batch(pick_shelf(shelves, plan, seen / plan.samples, rng), rng)
        set_learning_rate(
            optimizers, learning_rate_share(seen / plan.samples, WARM_UP, plan.decay_from)
        )
        errors = denoising_errors(run, unet, encoders, batch)
        unet.zero_grad(set_to_none=True)
        errors.mean().backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        follow(average, unet, step, plan.average_share)
        seen += BATCH
        high = batch.steps > HIGH_NOISE
        told = errors.detach().cpu()
        progress.update(
            seen,
            loss=told.mean().item(),
            high=told[high].mean().item(),
            low=told[~high].mean().item(),
        )
        if checkpoint.is_due() or seen >= plan.samples:
            checkpoint.save(
                {
                    "model": unet.state_dict(),
                    "average": average.state_dict(),
                    "seen": seen,
                    "optimizers": [o.state_dict() for o in optimizers],
                }
            )
    run.mark_done(plan.stage, f"{seen} samples")


def _begin(run: Run, plan: Plan, unet: UNet2DConditionModel) -> None:
    if plan.before is None:
        return
    state = Checkpoint(run.stage(plan.before)).load()
    if state is None:
        raise FileNotFoundError(f"the {plan.before} stage has no checkpoint yet")
    unet.load_state_dict(state["average"])


def pick_shelf(
    shelves: Sequence[Shelf], plan: Plan, done: float, rng: np.random.Generator
) -> Shelf:
    """The shelf of a batch, `done` (0-1) of the stage being over."""
    has_many = bool(rng.random() < plan.many_share[done >= plan.many_from])
    is_square = bool(rng.random() < plan.square_share)
    fitting = [s for s in shelves if s.has_many == has_many and s.is_square == is_square]
    return fitting[int(rng.integers(len(fitting)))]


def draw_batch(shelf: Shelf, rng: np.random.Generator) -> Batch:
    """One batch; time steps are spread evenly, half of the single objects flipped."""
    rows = torch.from_numpy(rng.integers(0, len(shelf.latents), BATCH))
    latents = shelf.latents[rows].float()
    if not shelf.has_many:
        flipped = torch.from_numpy(rng.random(BATCH) < 0.5)[:, None, None, None]
        latents = torch.where(flipped, latents.flip(-1), latents)
    strata = (rng.permutation(BATCH) + rng.random(BATCH)) / BATCH
    steps = torch.from_numpy(strata * SCHEDULE["num_train_timesteps"]).long()
    signal = _signal_shares()[steps].view(-1, 1, 1, 1)
    noise = torch.randn_like(latents)
    return Batch(
        noised=(signal.sqrt() * latents + (1 - signal).sqrt() * noise).contiguous(
            memory_format=torch.channels_last
        ),
        steps=steps,
        target=signal.sqrt() * noise - (1 - signal).sqrt() * latents,
        ids=shelf.ids[rows, torch.from_numpy(rng.integers(0, CAPTIONS_PER_SCENE, BATCH))],
        dropped=torch.from_numpy(rng.random(BATCH) < DROPPED_SHARE),
        size_ids=shelf.size_ids.expand(BATCH, -1),
    )


def denoising_errors(
    run: Run, unet: UNet2DConditionModel, encoders: Encoders, batch: Batch
) -> Tensor:
    """Mean squared error of v per row, (B,)."""
    device = run.device
    kept = (~batch.dropped).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        with torch.no_grad():
            tokens, pooled = encode_text(encoders, batch.ids.to(device))
        predicted = unet(
            batch.noised.to(device),
            batch.steps.to(device),
            encoder_hidden_states=tokens * kept[:, None, None],
            added_cond_kwargs={
                "text_embeds": pooled * kept[:, None],
                "time_ids": batch.size_ids.to(device),
            },
        ).sample
    return (predicted.float() - batch.target.to(device)).square().mean((1, 2, 3))


@cache
def _signal_shares() -> Tensor:
    return DDPMScheduler(**SCHEDULE).alphas_cumprod
