"""Stage `unet`: the denoiser, v-prediction on cached latents, text encoders frozen."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from inference.training.autoencoder import follow
from inference.training.captions import caption
from inference.training.dataset import Bucket, layout_of, load_buckets, pick_bucket
from inference.training.fastops import speed_up
from inference.training.latents import load_latents
from inference.training.models import SCHEDULE, build_unet
from inference.training.muon import make_optimizers, set_learning_rate
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.text import Encoders, encode_text, load_text_encoders
from inference.training.tokens import token_ids

STAGE = "unet"
SAMPLES, BATCH = 164_800, 64
LEARNING_RATE = 2e-3
ADAM_SHARE = 0.7
DECAY_FROM = 0.7
EMA = 0.9985
CAPTIONS_PER_SCENE = 3
DROPPED_SHARE = 0.1  # captions replaced by zeros, which is SDXL's empty prompt
HIGH_NOISE = 700  # time steps above this one decide shape and place; their loss is told apart


@dataclass(frozen=True)
class Shelf:
    """The latents of one bucket (N, 4, h, w), captions as ids (N, K, T), SDXL's size ids (6,)."""

    latents: Tensor
    ids: Tensor
    size_ids: Tensor


@dataclass(frozen=True)
class Batch:
    """Noised latents, their time steps, the v target, and the conditions."""

    noised: Tensor
    steps: Tensor
    target: Tensor
    ids: Tensor
    dropped: Tensor
    size_ids: Tensor


def train_unet(run: Run) -> None:
    """Trains to `SAMPLES` latents; the checkpoint holds the averaged weights as well."""
    folder = run.stage(STAGE)
    shelves, encoders = load_shelves(run)
    torch.manual_seed(run.seed)
    unet = build_unet().to(run.device, memory_format=torch.channels_last)
    average = copy.deepcopy(unet).requires_grad_(False)
    speed_up(unet, folder, run.device)
    optimizers = make_optimizers(unet, LEARNING_RATE, ADAM_SHARE, ("conv_in", "conv_out"))
    checkpoint, seen = Checkpoint(folder), 0
    if state := checkpoint.load():
        unet.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        seen = state["seen"]
    progress = Progress(STAGE, SAMPLES, seen)
    while seen < SAMPLES:
        step = seen // BATCH
        torch.manual_seed(run.seed + step)
        batch = draw_batch(shelves, np.random.default_rng([run.seed, 5, step]))
        set_learning_rate(optimizers, learning_rate_share(seen / SAMPLES, 0.02, DECAY_FROM))
        errors = denoising_errors(run, unet, encoders, batch)
        unet.zero_grad(set_to_none=True)
        errors.mean().backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        follow(average, unet, step, EMA)
        seen += BATCH
        high = batch.steps > HIGH_NOISE
        told = errors.detach().cpu()
        progress.update(
            seen,
            loss=told.mean().item(),
            high=told[high].mean().item(),
            low=told[~high].mean().item(),
        )
        if checkpoint.is_due() or seen >= SAMPLES:
            checkpoint.save(
                {
                    "model": unet.state_dict(),
                    "average": average.state_dict(),
                    "seen": seen,
                    "optimizers": [o.state_dict() for o in optimizers],
                }
            )
    run.mark_done(STAGE, f"{seen} samples")


def load_average(run: Run) -> tuple[UNet2DConditionModel, int]:
    """The averaged weights of the last checkpoint, and how many samples they have seen."""
    state = Checkpoint(run.stage(STAGE)).load()
    if state is None:
        raise FileNotFoundError("the unet stage has no checkpoint yet")
    unet = build_unet()
    unet.load_state_dict(state["average"])
    return unet.eval().requires_grad_(False), int(state["seen"])


def load_shelves(run: Run) -> tuple[list[Shelf], Encoders]:
    """Latents with their captions, and the frozen encoders on the run's device."""
    tokenizer, encoders = load_text_encoders(run)
    for encoder in encoders:
        encoder.to(run.device)
    shelves = []
    for order, bucket in enumerate(load_buckets(run)):
        ids = token_ids(tokenizer, caption_texts(bucket, (run.seed, 6, order)))
        size = (bucket.height_px, bucket.width_px)
        shelves.append(
            Shelf(
                load_latents(run, bucket),
                ids.view(len(bucket.labels), CAPTIONS_PER_SCENE, -1),
                torch.tensor([*size, 0, 0, *size], dtype=torch.float32),
            )
        )
    return shelves, encoders


def caption_texts(bucket: Bucket, seed: tuple[int, int, int]) -> list[str]:
    """`CAPTIONS_PER_SCENE` captions for each scene in turn."""
    rng = np.random.default_rng(list(seed))
    layouts = (layout_of(labels) for labels in bucket.labels)
    return [caption(layout, rng).text for layout in layouts for _ in range(CAPTIONS_PER_SCENE)]


def draw_batch(shelves: list[Shelf], rng: np.random.Generator) -> Batch:
    """One batch of one picture size; time steps are spread evenly, half of the rows flipped."""
    shelf = shelves[pick_bucket(rng, len(shelves))]
    rows = torch.from_numpy(rng.integers(0, len(shelf.latents), BATCH))
    flipped = torch.from_numpy(rng.random(BATCH) < 0.5)[:, None, None, None]
    latents = shelf.latents[rows]
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
