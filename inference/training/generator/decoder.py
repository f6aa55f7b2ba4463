"""Stage `decoder`: the decoder alone goes on learning, on the latents that the denoiser learns.

The latents stay as they are, so this stage can run beside the denoiser's. A little noise on the
latents makes the decoder kind to what a denoiser gets slightly wrong.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from diffusers import AutoencoderKL

from inference.training.fastops import speed_up
from inference.training.generator.autoencoder import (
    draw_crops,
    follow,
    reconstruction_loss,
    signal_to_noise_db,
)
from inference.training.generator.latents import load_scaled_vae
from inference.training.generator.pictures import FULL, HALF, HELD_OUT, load_pictures
from inference.training.muon import make_optimizers, set_learning_rate
from inference.training.precision import autocast
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share

STAGE = "decoder"
SAMPLES = 9_600
LEARNING_RATE = 5e-4
EMA = 0.99
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
    shelves = [load_pictures(run, plan).pictures for plan in (FULL, HALF)]
    progress = Progress(STAGE, SAMPLES, seen)
    while seen < SAMPLES:
        torch.manual_seed(run.seed + seen)
        rng = np.random.default_rng([run.seed, 8, seen])
        target = draw_crops(shelves, rng, is_small=False).to(run.device)
        set_learning_rate(optimizers, learning_rate_share(seen / SAMPLES, 0.01, 0.4))
        with autocast(run.device):
            with torch.no_grad():
                latents = model.encode(target).latent_dist.mode()
            noise = LATENT_NOISE / model.config.scaling_factor * torch.randn_like(latents)
            restored = model.decode(latents + noise).sample
        loss = reconstruction_loss(restored.float(), target)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        follow(average, model, seen // len(target), EMA)
        seen += len(target)
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
    decibel = signal_to_noise_db(average.eval(), load_pictures(run, HELD_OUT).pictures, run.device)
    run.mark_done(STAGE, f"{seen} crops, {decibel:.2f} dB on held-out scenes of 256 px")


def load_vae(run: Run) -> AutoencoderKL:
    """The autoencoder with the latest decoder, or as the `vae` stage left it."""
    vae = load_scaled_vae(run)
    if state := Checkpoint(run.stage(STAGE)).load():
        vae.load_state_dict(state["average"])
    return vae
