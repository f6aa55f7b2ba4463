"""Stage `latents`: centres and scales the autoencoder, then draws and encodes the scenes.

What each cell of the latents shows is kept beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from inference.training.generator.autoencoder import STAGE as VAE_STAGE
from inference.training.generator.autoencoder import to_tensor
from inference.training.generator.models import CELL_PX
from inference.training.generator.pictures import FULL, FULL_SIZES, load_pictures
from inference.training.precision import autocast
from inference.training.runs import Run
from inference.training.world.layouts import Layout
from inference.training.world.shelves import PROCESSES, ShelfPlan, draw_scene, layout_from

STAGE = "latents"
STATISTICS_SCENES = 800
PIXELS_PER_BATCH = 4 * 256 * 256  # more at once is slower: it does not stay in the cache
_ONE, _MANY = (1.0, 0.0, 0.0, 0.0), (0.0, 0.7, 0.2, 0.1)
SQUARE_SHARE = 0.7


def _plans(sizes: Sequence[tuple[int, int]], ones: int, many: int, seed: int) -> list[ShelfPlan]:
    """One shelf with single objects and one with several for each size, the square ones first."""
    plans = []
    for order, (width, height) in enumerate(sizes):
        share = SQUARE_SHARE if order == 0 else (1 - SQUARE_SHARE) / (len(sizes) - 1)
        for kind, scenes, counts in (("one", ones, _ONE), ("many", many, _MANY)):
            name = f"{width}x{height}-{kind}"
            number = seed + 10 * order + (kind == "many")
            plans.append(ShelfPlan(name, round(share * scenes), number, ((width, height),), counts))
    return plans


PLANS = _plans(FULL_SIZES, 8_000, 18_000, 3000)


@dataclass(frozen=True)
class LatentShelf:
    """Latents float16 (N, 4, h, w) of about unit variance, and what they show.

    `labels`, uint8 (N, h, w), are those of the scenes at the middle of each cell.
    """

    plan: ShelfPlan
    latents: Tensor
    labels: Tensor
    layouts: list[Layout]


def encode_latents(run: Run) -> None:
    """Saves the scaled autoencoder, then shelf after shelf; those that are there are kept."""
    vae = _scaled_vae(run).to(run.device, memory_format=torch.channels_last)
    for plan in PLANS:
        stem = run.stage(STAGE) / plan.name
        if not stem.with_suffix(".jsonl").exists():
            _encode_shelf(stem, plan, vae)
            print(f"{STAGE}: {plan.name} {plan.scenes} scenes", flush=True)
    scenes = sum(plan.scenes for plan in PLANS)
    run.mark_done(STAGE, f"{scenes} scenes, scaling factor {vae.config.scaling_factor:.4f}")


def load_scaled_vae(run: Run) -> AutoencoderKL:
    """The scaled autoencoder."""
    return AutoencoderKL.from_pretrained(run.stage(STAGE) / "vae", local_files_only=True).eval()


def load_latents(run: Run, plan: ShelfPlan) -> LatentShelf:
    """What `encode_latents` has written for `plan`."""
    stem = run.stage(STAGE) / plan.name
    lines = stem.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    with np.load(stem.with_suffix(".npz")) as arrays:
        latents, labels = (torch.from_numpy(arrays[name]) for name in ("latents", "labels"))
    return LatentShelf(plan, latents, labels, [layout_from(json.loads(line)) for line in lines])


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: NDArray[np.uint8]) -> Tensor:
    """Unscaled latents of pictures (N, H, W, 3), on the CPU."""
    size = max(1, PIXELS_PER_BATCH // (pictures.shape[1] * pictures.shape[2]))
    parts = []
    for start in range(0, len(pictures), size):
        batch = to_tensor(pictures[start : start + size]).to(vae.device)
        with autocast(vae.device):
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


def _scaled_vae(run: Run) -> AutoencoderKL:
    folder = run.stage(STAGE) / "vae"
    if not folder.exists():
        trained = run.stage(VAE_STAGE) / "model"
        vae = AutoencoderKL.from_pretrained(trained, local_files_only=True).eval()
        pictures = load_pictures(run, FULL).pictures[:STATISTICS_SCENES]
        centre_and_scale(vae, encode(vae, pictures))
        vae.save_pretrained(folder)
    return load_scaled_vae(run)


def _encode_shelf(stem: Path, plan: ShelfPlan, vae: AutoencoderKL) -> None:
    latents, labels, layouts = [], [], []
    for pictures, shown, drawn in _drawn(plan):
        scaled = encode(vae, pictures) * vae.config.scaling_factor
        latents.append(scaled.numpy().astype(np.float16))
        labels.append(shown[:, CELL_PX // 2 :: CELL_PX, CELL_PX // 2 :: CELL_PX])
        layouts += [json.dumps(asdict(layout)) for layout in drawn]
    np.savez(
        stem.with_suffix(".npz"), latents=np.concatenate(latents), labels=np.concatenate(labels)
    )
    stem.with_suffix(".jsonl").write_text("\n".join(layouts), encoding="utf-8")


def _drawn(
    plan: ShelfPlan, size: int = 200
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], list[Layout]]]:
    """Pictures, labels and layouts of the scenes of `plan` in order, `size` at a time."""
    with Pool(PROCESSES) as pool:
        for start in range(0, plan.scenes, size):
            wanted = range(start, min(start + size, plan.scenes))
            scenes = pool.map(partial(draw_scene, plan), wanted, chunksize=10)
            pictures, labels, layouts = zip(*scenes, strict=True)
            yield np.stack(pictures), np.stack(labels), list(layouts)
