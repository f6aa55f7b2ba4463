"""Stage `denoiser`: v-prediction on latents at 256 px, text encoders frozen.

While it learns to remove noise, the denoiser also says of each cell what it will show
(`cell_names.py`): which of the objects, of what kind, colour and material.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from inference.training.fastops import speed_up
from inference.training.generator.autoencoder import follow
from inference.training.generator.cell_names import CellHeads, Shown, naming_loss, shown_in
from inference.training.generator.labels import labels_of
from inference.training.generator.latents import PLANS, load_latents
from inference.training.generator.models import SCHEDULE, build_unet
from inference.training.generator.text import Encoders, encode_text, load_text_encoders
from inference.training.muon import make_optimizers, set_learning_rate
from inference.training.parallel import average_gradients, rank, run_together, size
from inference.training.precision import autocast
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.tokens import token_ids
from inference.training.world.captions import caption
from inference.training.world.layouts import Layout

BATCH = 64
ADAM_SHARE = 0.7
WARM_UP, DECAY_FROM = 0.005, 0.6
LEARNING_RATE = 2e-3
EMA = 0.999
CAPTIONS_PER_SCENE = 3
DROPPED_SHARE = 0.1  # captions replaced by zeros, which is SDXL's empty prompt
HIGH_NOISE = 700  # time steps above this one decide shape and place; their loss is told apart
SQUARE_SHARE = 0.75  # of the batches
MANY_SHARES, MANY_FROM = (0.25, 0.6), 0.2  # of the batches show several objects: before, after
NAMING_WEIGHT = 0.05
PROCESSES = (1, 2, 4, 8)  # that share a batch evenly, and not in crumbs
_SEED = 5


@dataclass(frozen=True)
class Plan:
    """One training: where it keeps its files, and how many samples it sees."""

    stage: str
    samples: int


PLAN = Plan("denoiser", 200_000)


@dataclass(frozen=True)
class Shelf:
    """Latents of one size (N, 4, h, w), captions as ids (N, K, T), SDXL's size ids (6,).

    `labels` (N, h, w) and `attributes` (N, ATTRIBUTES) say what the cells show. Pictures of
    several objects are never flipped: their captions say left and right.
    """

    latents: Tensor
    labels: Tensor
    attributes: Tensor
    ids: Tensor
    size_ids: Tensor
    is_square: bool
    has_many: bool


@dataclass(frozen=True)
class Batch:
    """Noised latents, their time steps, the v target, the conditions, and what is shown."""

    noised: Tensor
    steps: Tensor
    target: Tensor
    ids: Tensor
    dropped: Tensor
    size_ids: Tensor
    shown: Shown

    def share(self, order: int, of: int) -> Batch:
        """Every `of`-th row from row `order` on."""
        rows = slice(order, None, of)
        return Batch(
            self.noised[rows],
            self.steps[rows],
            self.target[rows],
            self.ids[rows],
            self.dropped[rows],
            self.size_ids[rows],
            Shown(self.shown.labels[rows], self.shown.names[rows]),
        )


def train_denoiser(run: Run) -> None:
    """Trains to its end."""
    train_plan(run, PLAN)


def load_average(run: Run, plan: Plan = PLAN) -> tuple[UNet2DConditionModel, int]:
    """The averaged weights, and the samples that they have seen."""
    state = Checkpoint(run.stage(plan.stage)).load()
    if state is None:
        raise FileNotFoundError(f"the {plan.stage} stage has no checkpoint yet")
    unet = build_unet()
    unet.load_state_dict(state["average"])
    return unet.eval().requires_grad_(False), int(state["seen"])


def load_shelves(run: Run) -> tuple[list[Shelf], Encoders]:
    """Latents with their captions, and the frozen encoders on the run's device."""
    tokenizer, encoders = load_text_encoders(run)
    for encoder in encoders:
        encoder.to(run.device)
    shelves = []
    for order, shelf_plan in enumerate(PLANS):
        shelf = load_latents(run, shelf_plan)
        texts = caption_texts(shelf.layouts, (run.seed, _SEED, order))
        ((width, height),) = shelf_plan.sizes
        shelves.append(
            Shelf(
                shelf.latents,
                shelf.labels,
                torch.from_numpy(np.stack([labels_of(layout) for layout in shelf.layouts])),
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
    """Trains to the end of `plan`, from its checkpoint where it has one."""
    processes = max(share for share in PROCESSES if share <= run.processes)
    run_together(processes, _train, run, plan)


def _train(run: Run, plan: Plan) -> None:
    folder = run.stage(plan.stage)
    shelves, encoders = load_shelves(run)
    torch.manual_seed(run.seed)
    unet = build_unet().to(run.device, memory_format=torch.channels_last)
    heads = CellHeads(unet).to(run.device)
    average = copy.deepcopy(unet).requires_grad_(False)
    speed_up(unet, folder, run.device)
    both = nn.ModuleDict({"unet": unet, "heads": heads})
    optimizers = make_optimizers(both, LEARNING_RATE, ADAM_SHARE, ("conv_in", "conv_out", "heads"))
    checkpoint, seen = Checkpoint(folder), 0
    if state := checkpoint.load():
        unet.load_state_dict(state["model"])
        heads.load_state_dict(state["heads"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        seen = state["seen"]
    progress = Progress(plan.stage, plan.samples, seen)
    while seen < plan.samples:
        step = seen // BATCH
        torch.manual_seed(run.seed + step)
        rng = np.random.default_rng([run.seed, _SEED, step])
        batch = draw_batch(pick_shelf(shelves, seen / plan.samples, rng), rng).share(rank(), size())
        set_learning_rate(optimizers, learning_rate_share(seen / plan.samples, WARM_UP, DECAY_FROM))
        with heads.listening():
            errors = denoising_errors(run, unet, encoders, batch)
        naming = naming_loss(heads, batch.shown)
        both.zero_grad(set_to_none=True)
        (errors.mean() + NAMING_WEIGHT * naming).backward()
        average_gradients(both.parameters())
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        follow(average, unet, step, EMA)
        seen += BATCH
        if rank() != 0:
            continue
        _tell(progress, seen, errors.detach().cpu(), batch.steps, naming.item())
        if checkpoint.is_due() or seen >= plan.samples:
            checkpoint.save(
                {
                    "model": unet.state_dict(),
                    "heads": heads.state_dict(),
                    "average": average.state_dict(),
                    "seen": seen,
                    "optimizers": [o.state_dict() for o in optimizers],
                }
            )
    if rank() == 0:
        run.mark_done(plan.stage, f"{seen} samples")


def pick_shelf(shelves: Sequence[Shelf], done: float, rng: np.random.Generator) -> Shelf:
    """The shelf of a batch, `done` (0-1) of the training being over."""
    has_many = bool(rng.random() < MANY_SHARES[done >= MANY_FROM])
    is_square = bool(rng.random() < SQUARE_SHARE)
    fitting = [s for s in shelves if s.has_many == has_many and s.is_square == is_square]
    return fitting[int(rng.integers(len(fitting)))]


def draw_batch(shelf: Shelf, rng: np.random.Generator) -> Batch:
    """One batch; time steps are spread evenly, half of the single objects flipped."""
    rows = torch.from_numpy(rng.integers(0, len(shelf.latents), BATCH))
    latents, labels = shelf.latents[rows].float(), shelf.labels[rows]
    if not shelf.has_many:
        flipped = torch.from_numpy(rng.random(BATCH) < 0.5)
        latents = torch.where(flipped[:, None, None, None], latents.flip(-1), latents)
        labels = torch.where(flipped[:, None, None], labels.flip(-1), labels)
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
        shown=shown_in(labels, shelf.attributes[rows]),
    )


def denoising_errors(
    run: Run, unet: UNet2DConditionModel, encoders: Encoders, batch: Batch
) -> Tensor:
    """Mean squared error of v per row, (B,)."""
    device = run.device
    kept = (~batch.dropped).to(device)
    with autocast(device):
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


def _tell(progress: Progress, seen: int, errors: Tensor, steps: Tensor, naming: float) -> None:
    high = steps > HIGH_NOISE
    parts = {"loss": errors, "high": errors[high], "low": errors[~high]}
    means = {name: part.mean().item() for name, part in parts.items() if len(part)}
    progress.update(seen, **means, naming=naming)


@cache
def _signal_shares() -> Tensor:
    return DDPMScheduler(**SCHEDULE).alphas_cumprod
