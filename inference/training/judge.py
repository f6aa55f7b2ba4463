"""Stage `judge`: a small classifier of what a scene shows, which has seen real renders only."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.training.autoencoder import to_tensor
from inference.training.dataset import Bucket, load_buckets, load_held_out
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.text import ATTRIBUTES
from inference.training.vocabulary import load_world

STAGE = "judge"
SIDE_PX = 64
SAMPLES, BATCH = 64_000, 96
LEARNING_RATE = 3e-3
SHIFT_PX = 6


class Judge(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 to logits per attribute; sees the lower square."""

    def __init__(self) -> None:
        super().__init__()
        world = load_world()
        groups = (world.objects, world.colours, world.surfaces, world.backdrops)
        self.sizes = [len(group) for group in groups]
        widths = (3, 24, 48, 96, 128)
        blocks = [_block(a, b) for a, b in pairwise(widths)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], sum(self.sizes))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Logits of object, colour, surface and backdrop, each (B, classes)."""
        features = self.blocks(lower_square(pictures)).mean((2, 3))
        return self.head(features).split(self.sizes, 1)


def lower_square(pictures: Tensor) -> Tensor:
    """The lower middle square of (B, 3, H, W), where the object stands, at `SIDE_PX`."""
    side = min(pictures.shape[-2:])
    top, left = pictures.shape[-2] - side, (pictures.shape[-1] - side) // 2
    square = pictures[..., top : top + side, left : left + side]
    return (
        square
        if side == SIDE_PX
        else functional.interpolate(
            square, (SIDE_PX, SIDE_PX), mode="area" if side % SIDE_PX == 0 else "bilinear"
        )
    )


def train_judge(run: Run) -> None:
    """Trains on the square scenes; blur, noise and shifts keep it from reading fine print."""
    folder, bucket = run.stage(STAGE), load_buckets(run)[0]
    pictures, labels = _halved(bucket), torch.from_numpy(bucket.labels)
    torch.manual_seed(run.seed)
    judge = Judge().to(run.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), LEARNING_RATE, weight_decay=0.02)
    progress, seen = Progress(STAGE, SAMPLES), 0
    while seen < SAMPLES:
        rng = np.random.default_rng([run.seed, 7, seen])
        rows = rng.integers(0, len(pictures), BATCH)
        batch = _disturbed(to_tensor(pictures[rows]), rng).to(run.device)
        wanted = labels[rows].to(run.device)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * learning_rate_share(
            seen / SAMPLES, 0.02, 0.3
        )
        with torch.autocast(run.device.type, torch.bfloat16):
            answers = judge(batch)
        loss = torch.stack(
            [
                functional.cross_entropy(logits.float(), wanted[:, i])
                for i, logits in enumerate(answers)
            ]
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += BATCH
        progress.update(seen, loss=loss.item())
    Checkpoint(folder).save(judge.state_dict())
    held_out = load_held_out(run)
    guesses = guess(load_judge(run), held_out.pictures)
    right = (guesses == held_out.labels).mean(0)
    scores = ", ".join(f"{name} {share:.3f}" for name, share in zip(ATTRIBUTES, right, strict=True))
    run.mark_done(STAGE, f"{seen} samples; held-out renders: {scores}")


def load_judge(run: Run) -> Judge:
    """The trained judge, on the CPU."""
    state = Checkpoint(run.stage(STAGE)).load()
    if state is None:
        raise FileNotFoundError("the judge has not been trained yet")
    judge = Judge()
    judge.load_state_dict(state)
    return judge.eval()


@torch.no_grad()
def guess(judge: Judge, pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Classes of the four attributes, (N, 4), for pictures (N, H, W, 3)."""
    answers = []
    for start in range(0, len(pictures), 100):
        logits = judge(to_tensor(pictures[start : start + 100]))
        answers.append(torch.stack([part.argmax(1) for part in logits], 1))
    guesses: NDArray[np.int64] = torch.cat(answers).numpy()
    return guesses


def _halved(bucket: Bucket) -> NDArray[np.uint8]:
    """Pictures averaged 2 by 2, a thousand at a time."""
    parts = []
    for start in range(0, len(bucket.pictures), 1000):
        part = bucket.pictures[start : start + 1000]
        blocks = part.reshape(len(part), SIDE_PX, 2, SIDE_PX, 2, 3).astype(np.float32)
        parts.append(blocks.mean((2, 4)).round().astype(np.uint8))
    return np.concatenate(parts)


def _disturbed(batch: Tensor, rng: np.random.Generator) -> Tensor:
    if rng.random() < 0.5:
        batch = batch.flip(-1)
    if rng.random() < 0.35:
        small = functional.avg_pool2d(batch, 2)
        batch = functional.interpolate(small, scale_factor=2, mode="bilinear")
    if rng.random() < 0.5:
        batch = batch + torch.from_numpy(rng.normal(0, 0.06, batch.shape).astype(np.float32))
    down, right = rng.integers(-SHIFT_PX, SHIFT_PX + 1, 2)
    return torch.roll(batch, (int(down), int(right)), (2, 3)).contiguous(
        memory_format=torch.channels_last
    )


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
