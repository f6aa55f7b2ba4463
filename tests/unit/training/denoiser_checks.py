"""What the denoiser's training does, on a few scenes; see ``learning_checks``.

``python -m tests.unit.training.denoiser_checks`` prints its findings as one JSON object;
``test_denoiser.py`` judges them.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.training import muon
from inference.training.gates import Gate, save_gates
from inference.training.generator import autoencoder, denoiser, export, latents, models, text
from inference.training.generator.cell_names import CellHeads, naming_loss, shown_in
from inference.training.generator.labels import labels_of
from inference.training.generator.models import TEXT_WIDTH, build_text_encoders, build_unet
from inference.training.parallel import run_together
from inference.training.runs import Checkpoint, Run
from inference.training.tokens import train_tokenizer
from inference.training.world.layouts import Layout, Placed
from tests.unit.inference import tiny

BATCH, SAMPLES = 4, 16
PARTS = ("conv_in", "down_blocks.3", "mid_block", "up_blocks.1", "up_blocks.2")


def few() -> None:
    """Small batches and shelves; called in every process."""
    torch.set_num_threads(1)
    denoiser.BATCH, models.UNET_WIDTHS = BATCH, (8, 16, 32, 32)
    denoiser.PLANS = [replace(plan, scenes=2) for plan in latents.PLANS[:4]]
    latents.PLANS = denoiser.PLANS
    latents.load_pictures = lambda *_: _Pictures()


class _Pictures:
    pictures = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), np.uint8)


def prepare(run: Run) -> None:
    """Random encoders and autoencoder, and the latents of a few scenes."""
    torch.manual_seed(0)
    autoencoder.save_plain(autoencoder.build_autoencoder(), run.stage(autoencoder.STAGE) / "model")
    captions = text.draw_captions(np.random.default_rng(0), 50)
    tokenizer = train_tokenizer(captions.texts, text.VOCABULARY, text.TOKENS_MAX)
    folder = run.stage(text.STAGE)
    tokenizer.save_pretrained(folder / "tokenizer")
    for name, encoder in zip(("first", "second"), build_text_encoders(tokenizer), strict=True):
        encoder.save_pretrained(folder / name)
    latents.encode_latents(run)


def train(run: Run, plan: denoiser.Plan) -> None:
    """One of the processes of a training."""
    few()
    with contextlib.redirect_stdout(sys.stderr):
        denoiser._train(run, plan)


def trainings(run: Run) -> dict[str, Any]:
    """One in one go, one broken off, one shared by two processes."""
    names = ("whole", "broken", "shared")
    whole, broken, shared = (denoiser.Plan(name, SAMPLES) for name in names)
    denoiser.train_plan(run, whole)
    original = denoiser.learning_rate_share
    denoiser.learning_rate_share = lambda done, *rest: original(done / 2, *rest)
    denoiser.pick_shelf, pick = (
        lambda shelves, done, rng: pick(shelves, done / 2, rng),
        denoiser.pick_shelf,
    )
    denoiser.train_plan(run, replace(broken, samples=SAMPLES // 2))
    denoiser.learning_rate_share, denoiser.pick_shelf = original, pick
    denoiser.train_plan(run, broken)
    run_together(2, train, run, shared)
    ends = {name: Checkpoint(run.stage(name)).load() or {} for name in names}
    torch.manual_seed(run.seed)
    begun = build_unet().state_dict()
    return {
        "seen": {name: end["seen"] for name, end in ends.items()},
        "learned": _apart(begun, ends["whole"]["model"]),
        "broken": _apart(ends["whole"]["model"], ends["broken"]["model"]),
        "average": _apart(ends["whole"]["average"], ends["broken"]["average"]),
        "shared": _mean_apart(ends["whole"]["model"], ends["shared"]["model"]),
    }


def naming(_: Run) -> dict[str, Any]:
    """What cells are to be called, and whose loss falls when they are."""
    layout = Layout((Placed("vase", "red"), Placed("handbag", "blue")), "white_table", "gray")
    labels = torch.zeros(1, 32, 32, dtype=torch.uint8)
    labels[:, 16:] = 1
    labels[:, 20:24, 4:8], labels[:, 20:24, 20:24] = 2, 3
    shown = shown_in(labels, torch.from_numpy(labels_of(layout))[None])
    unet = build_unet()
    heads = CellHeads(unet)
    with heads.listening():
        unet(
            torch.randn(1, 4, 32, 32),
            500,
            encoder_hidden_states=torch.randn(1, 8, 2 * TEXT_WIDTH),
            added_cond_kwargs={
                "text_embeds": torch.randn(1, TEXT_WIDTH),
                "time_ids": torch.zeros(1, 6),
            },
        )
    naming_loss(heads, shown).backward()
    taught = {name for name, weight in unet.named_parameters() if weight.grad is not None}
    return {
        "side": list(shown.labels.shape),
        "labels": [int(shown.labels[0, y, x]) for y, x in ((0, 0), (15, 0), (10, 2), (10, 10))],
        "names": [shown.names[0, 10, x].tolist() for x in (2, 10)],
        "wanted": [
            [int(labels_of(layout)[column + place]) for column in (0, 4, 8)] for place in (0, 1)
        ],
        "taught": [any(name.startswith(part) for name in taught) for part in PARTS],
        "of_the_model": bool(set(heads.state_dict()) & set(unet.state_dict())),
    }


def drawing(_: Run) -> dict[str, Any]:
    """Labels go where the latents go, flipped or not: here the latents are the labels."""
    labels = torch.randint(0, 3, (5, 32, 32), generator=torch.Generator().manual_seed(0))
    layout = Layout((Placed("vase", "red"),), "white_table", "gray")
    shelf = denoiser.Shelf(
        latents=labels[:, None].expand(-1, 4, -1, -1).half(),
        labels=labels.to(torch.uint8),
        attributes=torch.from_numpy(labels_of(layout)).expand(5, -1),
        ids=torch.zeros(5, denoiser.CAPTIONS_PER_SCENE, 4, dtype=torch.long),
        size_ids=torch.zeros(6),
        is_square=True,
        has_many=False,
    )
    batches = [denoiser.draw_batch(shelf, np.random.default_rng(order)) for order in range(8)]
    apart, seen = 0.0, []
    for batch in batches:
        signal = denoiser._signal_shares()[batch.steps].view(-1, 1, 1, 1)
        clean = signal.sqrt() * batch.noised - (1 - signal).sqrt() * batch.target
        apart = max(apart, float((clean[:, 0, 1::2, 1::2] - batch.shown.labels).abs().max()))
        seen += [row.round().long() for row in clean[:, 0]]
    straight = sum(any(torch.equal(row, one) for one in labels) for row in seen)
    return {"apart": apart, "straight": straight, "of": len(seen)}


def card(run: Run) -> str:
    """The README of the bundled folder."""
    save_gates(run.stage(export.EVALUATE_STAGE) / "gates.json", [Gate("a gate", 0.5, 0.4)])
    return export.card(run, tiny.build())


def orthogonal(_: Run) -> dict[str, float]:
    """The quick way against the plain one, on a matrix that is nearly singular."""
    torch.manual_seed(0)
    matrices = torch.randn(2, 24, 200) * torch.logspace(0, -2, 24)[None, :, None]
    plain = matrices.double()
    plain = plain / (plain.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7)
    for a, b, c in muon._STEPS:
        gram = plain @ plain.mT
        plain = a * plain + (b * gram + c * (gram @ gram)) @ plain
    quick = muon._by_gram(matrices / (matrices.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7))
    return {"apart": float((quick - plain).abs().max()), "size": float(plain.abs().max())}


def _apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def _mean_apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    total = sum(tensor.numel() for tensor in a.values())
    return sum(float((a[name] - b[name]).abs().sum()) for name in a) / total


CHECKS = (trainings, naming, drawing, card, orthogonal)


def main() -> None:
    few()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), torch.device("cpu"))
        with contextlib.redirect_stdout(sys.stderr):
            prepare(run)
            found = {check.__name__: check(run) for check in CHECKS}
        json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
