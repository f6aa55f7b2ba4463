"""Stage `latents`: centres and scales the autoencoder's latents, then encodes every scene once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from inference.training.autoencoder import STAGE as VAE_STAGE
from inference.training.autoencoder import to_tensor
from inference.training.dataset import Bucket, load_buckets
from inference.training.runs import Run

STAGE = "latents"
STATISTICS_SCENES = 4_000
BATCH = 40


def encode_latents(run: Run) -> None:
    """Saves the scaled autoencoder and one array of latents (N, 4, h, w) per bucket."""
    folder = run.stage(STAGE)
    vae = AutoencoderKL.from_pretrained(run.stage(VAE_STAGE) / "model", local_files_only=True)
    vae = vae.eval().to(run.device, memory_format=torch.channels_last)
    buckets = load_buckets(run)
    centre_and_scale(vae, encode(vae, buckets[0].pictures[:STATISTICS_SCENES], run.device))
    vae.save_pretrained(folder / "vae")
    for bucket in buckets:
        latents = encode(vae, bucket.pictures, run.device) * vae.config.scaling_factor
        np.save(latents_path(folder, bucket), latents.numpy().astype(np.float32))
        print(f"{STAGE}: {bucket.name} {tuple(latents.shape)} std {latents.std():.3f}", flush=True)
    run.mark_done(STAGE, f"scaling factor {vae.config.scaling_factor:.4f}")


def load_scaled_vae(run: Run) -> AutoencoderKL:
    """The scaled autoencoder."""
    return AutoencoderKL.from_pretrained(run.stage(STAGE) / "vae", local_files_only=True).eval()


def load_latents(run: Run, bucket: Bucket) -> Tensor:
    """Latents of `bucket`, float (N, 4, h, w), about unit variance."""
    return torch.from_numpy(np.load(latents_path(run.stage(STAGE), bucket)))


def latents_path(folder: Path, bucket: Bucket) -> Path:
    """The file of a bucket's latents."""
    return folder / f"{bucket.name}.npy"


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Unscaled latents of pictures (N, H, W, 3), on the CPU."""
    parts = []
    for start in range(0, len(pictures), BATCH):
        batch = to_tensor(pictures[start : start + BATCH]).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(vae.encode(batch).latent_dist.mode().float().cpu())
    return torch.cat(parts)


@torch.no_grad()
def centre_and_scale(vae: AutoencoderKL, latents: Tensor) -> None:
    """Folds the channel means into the quant convolutions; sets one scaling factor.

    SDXL pipelines know neither a shift nor per-channel statistics for other autoencoders, and the
    folding changes no picture: what the encoder loses in its bias the decoder gains.
    """
    mean = latents.mean((0, 2, 3)).to(vae.device)
    deviation = (latents - latents.mean((0, 2, 3), keepdim=True)).std().item()
    vae.quant_conv.bias[: len(mean)] -= mean
    after = vae.post_quant_conv
    after.bias += after.weight[:, :, 0, 0] @ mean
    vae.register_to_config(scaling_factor=1 / deviation)
