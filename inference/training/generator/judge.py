"""Stage `judge`: a classifier of what stands where in a scene, which has seen real renders only.

It is trained apart from the generator, on scenes of its own, among them the pairs of object and
colour that are held out from the generator.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.training.generator.autoencoder import to_tensor
from inference.training.generator.labels import Labels, attributes, columns, labels_of
from inference.training.generator.pictures import HALF_SIZES
from inference.training.muon import make_optimizers, set_learning_rate
from inference.training.precision import autocast
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.world.shelves import ShelfPlan, draw_scenes, draw_shelf, load_shelf

STAGE = "judge"
SIDE_PX = 128  # larger pictures are averaged down, others squeezed
TRAINING = ShelfPlan(
    "training",
    24_000,
    4001,
    (HALF_SIZES[0],) * 4 + HALF_SIZES[1:],
    (0.4, 0.4, 0.12, 0.08),
    kinship=0.2,
    holds_out=False,
)
HELD_OUT = ShelfPlan("held-out", 400, 4002, HALF_SIZES[:1], (0.5, 0.5, 0.0, 0.0), holds_out=False)
SAMPLES, BATCH = 64_032, 48
LEARNING_RATE = 3e-3
SHIFT_PX = 8


class Judge(nn.Module):
    """Pictures (B, 3, 128, 128) in -1..1 to logits per attribute.

    Every attribute looks for itself, by attention over the 16 x 16 grid of features. Pixels come
    in by fours, as channels: at full size the first convolutions took most of the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes = [attribute.classes for attribute in attributes()]
        widths = (12, 32, 64, 128)
        first, *others = (_convs(a, b) for a, b in pairwise(widths))
        pooled = [layer for block in others for layer in (nn.MaxPool2d(2), block)]
        self.blocks = nn.Sequential(nn.PixelUnshuffle(2), first, *pooled)
        self.mix = _conv(widths[-1], widths[-1])
        self.place = nn.Parameter(torch.randn(widths[-1], 16, 16) * 0.05)
        self.query = nn.Parameter(torch.randn(len(self.sizes), widths[-1]) * 0.2)
        self.key = nn.Linear(widths[-1], widths[-1])
        self.heads = nn.ModuleList([nn.Linear(widths[-1], size) for size in self.sizes])

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Logits of each attribute, (B, classes)."""
        features = self.mix(self.blocks(pictures)) + self.place
        cells = features.flatten(2).transpose(1, 2)
        scores = self.query @ self.key(cells).transpose(1, 2) / cells.shape[-1] ** 0.5
        read = scores.softmax(-1) @ cells
        return [head(read[:, order]) for order, head in enumerate(self.heads)]


def train_judge(run: Run) -> None:
    """Blur, noise and shifts keep it from reading fine print."""
    folder = run.stage(STAGE)
    if not (folder / f"{TRAINING.name}-layouts.jsonl").exists():
        draw_shelf(folder, TRAINING)
    shelf = load_shelf(folder, TRAINING)
    labels = torch.from_numpy(np.stack([labels_of(layout) for layout in shelf.layouts]))
    torch.manual_seed(run.seed)
    judge = Judge().to(run.device, memory_format=torch.channels_last)
    optimizers = make_optimizers(judge, LEARNING_RATE, 0.7, ("heads", "place"))
    checkpoint, seen = Checkpoint(folder), 0
    if state := checkpoint.load():
        judge.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        seen = state["seen"]
    progress = Progress(STAGE, SAMPLES, seen)
    while seen < SAMPLES:
        rng = np.random.default_rng([run.seed, 7, seen])
        rows = np.sort(rng.integers(0, len(labels), BATCH))
        batch = _disturbed(to_tensor(shelf.pictures[rows]), rng).to(run.device)
        wanted = labels[rows].to(run.device)
        set_learning_rate(optimizers, learning_rate_share(seen / SAMPLES, 0.02, 0.3))
        with autocast(run.device):
            answers = judge(batch)
        loss = torch.stack(
            [
                functional.cross_entropy(logits.float(), wanted[:, column])
                for column, logits in enumerate(answers)
            ]
        ).sum()
        judge.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        seen += BATCH
        progress.update(seen, loss=loss.item())
        if checkpoint.is_due() or seen >= SAMPLES:
            checkpoint.save(
                {
                    "model": judge.state_dict(),
                    "optimizers": [o.state_dict() for o in optimizers],
                    "seen": seen,
                }
            )
    run.mark_done(STAGE, f"{seen} samples; {_held_out_scores(load_judge(run))}")


def load_judge(run: Run) -> Judge:
    """The trained judge, on the CPU."""
    state = Checkpoint(run.stage(STAGE)).load()
    if state is None:
        raise FileNotFoundError("the judge has not been trained yet")
    judge = Judge()
    judge.load_state_dict(state["model"])
    return judge.eval()


@torch.no_grad()
def guess(judge: Judge, pictures: NDArray[np.uint8]) -> Labels:
    """Classes of all attributes, (N, ATTRIBUTES), for pictures (N, H, W, 3) of any size."""
    answers = []
    for start in range(0, len(pictures), 50):
        logits = judge(_seen(to_tensor(pictures[start : start + 50])))
        answers.append(torch.stack([part.argmax(1) for part in logits], 1))
    guesses: Labels = torch.cat(answers).numpy()
    return guesses


def _seen(batch: Tensor) -> Tensor:
    """The batch at the judge's size."""
    if batch.shape[-2:] == (SIDE_PX, SIDE_PX):
        return batch
    return functional.interpolate(
        batch, (SIDE_PX, SIDE_PX), mode="bilinear", antialias=True, align_corners=False
    )


def _held_out_scores(judge: Judge) -> str:
    drawn = list(draw_scenes(HELD_OUT))
    wanted = np.stack([labels_of(layout) for _, _, layout in drawn])
    guesses = guess(judge, np.stack([picture for picture, _, _ in drawn]))
    right = guesses == wanted
    return ", ".join(
        f"{name} {right[:, columns(name)].all(1).mean():.3f}"
        for name in ("object", "colour", "material", "surface", "backdrop")
    )


def _disturbed(batch: Tensor, rng: np.random.Generator) -> Tensor:
    if rng.random() < 0.4:
        small = functional.avg_pool2d(batch, 2)
        batch = functional.interpolate(small, scale_factor=2, mode="bilinear")
    if rng.random() < 0.5:
        batch = batch + torch.from_numpy(rng.normal(0, 0.06, batch.shape).astype(np.float32))
    down, right = rng.integers(-SHIFT_PX, SHIFT_PX + 1, 2)
    return torch.roll(batch, (int(down), int(right)), (2, 3)).contiguous(
        memory_format=torch.channels_last
    )


def _convs(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs), _conv(outputs, outputs))


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
