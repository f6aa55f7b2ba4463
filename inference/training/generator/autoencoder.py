"""Stage `vae`: the autoencoder, on small crops of pictures first and on larger ones after.

It knows no words, so the one that the repository bundles may be kept (stage `kept-vae` in the place
of `vae`): hours of training are not spent twice. `decoder.py` goes on with its half.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.training.fastops import speed_up
from inference.training.generator.models import build_autoencoder
from inference.training.generator.pictures import FULL, HALF, HELD_OUT, load_pictures
from inference.training.muon import make_optimizers, set_learning_rate
from inference.training.precision import autocast
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share

STAGE = "vae"
SMALL_PX, SMALL_SAMPLES, SMALL_BATCH = 64, 48_000, 40
LARGE_PX, LARGE_SAMPLES, LARGE_BATCH = 128, 48_000, 12
FULL_SHARE = 0.65  # of batches: crops of the 256 px scenes, the others of the 128 px scenes
LEARNING_RATE = 1.5e-3
EMA = 0.995
KL_WEIGHT = 5e-4
BUNDLED = Path(__file__).parents[2] / "bundled" / "sdxl" / "vae"


def train_autoencoder(run: Run) -> None:
    """Trains to `SMALL_SAMPLES` + `LARGE_SAMPLES` crops and saves the averaged weights."""
    folder = run.stage(STAGE)
    torch.manual_seed(run.seed)
    model = build_autoencoder().to(run.device, memory_format=torch.channels_last)
    average = copy.deepcopy(model).requires_grad_(False)
    speed_up(model, folder, run.device)
    optimizers = make_optimizers(model, LEARNING_RATE, 1.0, ("conv_in", "conv_out", "quant_conv"))
    checkpoint, seen, step = Checkpoint(folder), 0, 0
    if state := checkpoint.load():
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        seen, step = state["seen"], state["step"]
    total = SMALL_SAMPLES + LARGE_SAMPLES
    progress = Progress(STAGE, total, seen)
    shelves = [load_pictures(run, plan).pictures for plan in (FULL, HALF)]
    while seen < total:
        rng = np.random.default_rng([run.seed, 1, step])
        torch.manual_seed(run.seed + step)
        batch = draw_crops(shelves, rng, is_small=seen < SMALL_SAMPLES).to(run.device)
        set_learning_rate(optimizers, learning_rate_share(seen / total, 0.01, 0.5))
        with autocast(run.device):
            restored, kl, target = _reconstruct(model, batch)
        loss = reconstruction_loss(restored.float(), target) + KL_WEIGHT * kl
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        follow(average, model, step, EMA)
        seen, step = seen + len(batch), step + 1
        progress.update(seen, loss=loss.item())
        if checkpoint.is_due() or seen >= total:
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "seen": seen,
                    "step": step,
                    "optimizers": [o.state_dict() for o in optimizers],
                }
            )
    save_plain(average, folder / "model")
    _mark_done(run, average, f"{seen} crops")


def keep_autoencoder(run: Run) -> None:
    """Takes the bundled one for trained; ValueError where it has another form than today's."""
    kept = AutoencoderKL.from_pretrained(BUNDLED, local_files_only=True, torch_dtype=torch.float32)
    wanted = build_autoencoder()
    if _form(kept) != _form(wanted):
        raise ValueError(f"the autoencoder of {BUNDLED} has another form; train one: --stage vae")
    save_plain(kept, run.stage(STAGE) / "model")
    _mark_done(run, kept, "kept from the model that was bundled before")


def reconstruction_loss(restored: Tensor, target: Tensor) -> Tensor:
    """L1 and L2, edges, and the same at coarser scales; pictures (B, 3, H, W) in -1..1."""
    loss = functional.l1_loss(restored, target) + functional.mse_loss(restored, target)
    loss = loss + _edge_loss(restored, target)
    for scale in (2, 4, 8):
        small, wanted = functional.avg_pool2d(restored, scale), functional.avg_pool2d(target, scale)
        loss = loss + 0.5 * functional.l1_loss(small, wanted)
        if scale == 2:
            loss = loss + 0.5 * _edge_loss(small, wanted)
    return loss


@torch.no_grad()
def signal_to_noise_db(
    model: AutoencoderKL, pictures: NDArray[np.uint8], device: torch.device
) -> float:
    """Mean peak signal-to-noise ratio over the first 120 of `pictures` (N, H, W, 3)."""
    ratios = []
    for chunk in _chunks(pictures[:120], 12):
        batch = to_tensor(chunk).to(device)
        restored = model.decode(model.encode(batch).latent_dist.mode()).sample.clamp(-1, 1)
        error = (restored - batch).square().mean((1, 2, 3))
        ratios.append(10 * torch.log10(4 / error))
    return float(torch.cat(ratios).mean())


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 (B, H, W, 3) to float (B, 3, H, W) in -1..1, channels-last in memory."""
    planes = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return planes.contiguous(memory_format=torch.channels_last).float() / 127.5 - 1


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int, most: float) -> None:
    """Moves `average` towards `model`; it keeps `most` of itself, less in the first steps."""
    share = 1 - min(most, (step + 1) / (step + 10))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)


def save_plain(model: AutoencoderKL, folder: Path) -> None:
    """Saves the weights through a freshly built model, without training-time classes."""
    fresh = build_autoencoder()
    fresh.load_state_dict(model.state_dict())
    fresh.save_pretrained(folder)


def draw_crops(
    shelves: Sequence[NDArray[np.uint8]], rng: np.random.Generator, *, is_small: bool
) -> Tensor:
    """Crops (B, 3, side, side) in -1..1 of one of `shelves` (256 px, 128 px), or flipped ones."""
    size, side = (SMALL_BATCH, SMALL_PX) if is_small else (LARGE_BATCH, LARGE_PX)
    pictures = shelves[0 if rng.random() < FULL_SHARE else 1]
    rows = np.sort(rng.integers(0, len(pictures), size))
    corners = rng.integers(0, pictures.shape[1] - side + 1, (size, 2))
    batch = to_tensor(
        np.stack(
            [
                pictures[row, y : y + side, x : x + side]
                for row, (y, x) in zip(rows, corners, strict=True)
            ]
        )
    )
    return batch.flip(-1) if rng.random() < 0.5 else batch


def _reconstruct(model: AutoencoderKL, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Half of the batch decodes flipped latents to flipped pictures: flips of latents are free."""
    posterior = DiagonalGaussianDistribution(model.encode(batch).latent_dist.parameters.float())
    latents, half = posterior.sample(), len(batch) // 2
    latents = torch.cat([latents[:half], latents[half:].flip(-1)])
    target = torch.cat([batch[:half], batch[half:].flip(-1)])
    return model.decode(latents).sample, posterior.kl().mean() / latents[0].numel(), target


def _form(model: AutoencoderKL) -> dict[str, object]:
    """What two have to share for the weights of one to mean the same in the other."""
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    return {**shapes, "groups": model.config.norm_num_groups, "activation": model.config.act_fn}


def _mark_done(run: Run, model: AutoencoderKL, how: str) -> None:
    held_out = load_pictures(run, HELD_OUT).pictures
    decibel = signal_to_noise_db(model.to(run.device).eval(), held_out, run.device)
    run.mark_done(STAGE, f"{how}, {decibel:.2f} dB on held-out scenes of 256 px")


def _edge_loss(a: Tensor, b: Tensor) -> Tensor:
    across = functional.l1_loss(a[..., 1:] - a[..., :-1], b[..., 1:] - b[..., :-1])
    down = functional.l1_loss(a[..., 1:, :] - a[..., :-1, :], b[..., 1:, :] - b[..., :-1, :])
    return across + down


def _chunks(pictures: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]
