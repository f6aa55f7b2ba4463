"""Stage `decoder`: the decoder alone goes on learning, on the latents that the denoiser learns.

The latents stay as they are, so this stage can run beside `unet`. A little noise on the latents
makes the decoder kind to what a denoiser gets slightly wrong.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from inference.training.autoencoder import (
    follow,
    reconstruction_loss,
    signal_to_noise_db,
    to_tensor,
)
from inference.training.dataset import Bucket, load_buckets, load_held_out, pick_bucket
from inference.training.fastops import speed_up
from inference.training.latents import load_latents, load_scaled_vae
from inference.training.muon import make_optimizers, set_learning_rate
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share

STAGE = "decoder"
SAMPLES, BATCH = 72_000, 12
LEARNING_RATE = 1e-3
EMA = 0.998
LATENT_NOISE = 0.05  # of the latents' unit deviation


def train_decoder(run: Run) -> None:
    """Trains `post_quant_conv` and the decoder; saves the whole autoencoder."""
    folder = run.stage(STAGE)
    torch.manual_seed(run.seed)
    model = load_scaled_vae(run).to(run.device, memory_format=torch.channels_last)
    model.encoder.requires_grad_(False)
    model.quant_conv.requires_grad_(False)
    average = copy.deepcopy(model).requires_grad_(False)
    speed_up(model, folder, run.device)
    optimizers = make_optimizers(model, LEARNING_RATE, 1.0, ("conv_in", "conv_out", "quant_conv"))
    checkpoint, seen = Checkpoint(folder), 0
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        seen = state["seen"]
    buckets = load_buckets(run)
    latents = [load_latents(run, bucket) for bucket in buckets]
    progress = Progress(STAGE, SAMPLES, seen)
    while seen < SAMPLES:
        step = seen // BATCH
        torch.manual_seed(run.seed + step)
        noisy, target = _draw_batch(buckets, latents, np.random.default_rng([run.seed, 8, step]))
        set_learning_rate(optimizers, learning_rate_share(seen / SAMPLES, 0.01, 0.4))
        with torch.autocast(run.device.type, torch.bfloat16):
            restored = model.decode(noisy.to(run.device) / model.config.scaling_factor).sample
        loss = reconstruction_loss(restored.float(), target.to(run.device))
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        follow(average, model, step, EMA)
        seen += BATCH
        progress.update(seen, loss=loss.item())
        if checkpoint.is_due() or seen >= SAMPLES:
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "seen": seen,
                    "optimizers": [o.state_dict() for o in optimizers],
                }
            )
    decibel = signal_to_noise_db(average.eval(), load_held_out(run), run.device)
    run.mark_done(STAGE, f"{seen} pictures, {decibel:.2f} dB on held-out scenes")


def load_vae(run: Run) -> AutoencoderKL:
    """The autoencoder with the latest decoder, or as the `vae` stage left it."""
    vae = load_scaled_vae(run)
    if state := Checkpoint(run.stage(STAGE)).load():
        vae.load_state_dict(state["average"])
    return vae


def _draw_batch(
    buckets: list[Bucket], latents: list[Tensor], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Noisy latents (B, 4, h, w) and their pictures (B, 3, 8h, 8w), half of the batches flipped."""
    chosen = pick_bucket(rng, len(buckets))
    rows = np.sort(rng.integers(0, len(latents[chosen]), BATCH))
    target = to_tensor(buckets[chosen].pictures[rows])
    clean = latents[chosen][torch.from_numpy(rows)]
    if rng.random() < 0.5:
        target, clean = target.flip(-1), clean.flip(-1)
    noisy = clean + LATENT_NOISE * torch.randn_like(clean)
    return noisy.contiguous(memory_format=torch.channels_last), target
