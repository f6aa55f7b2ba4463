"""Prints the gates of the bundled models: `python -m inference.training.eval_models`.

Scored are the folders last exported under build/bundled, or else those of the repository. What a
generator draws is read by a judge, which is not shipped: without it those gates are named as not
measured, and how to train it is said.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline

from inference.training.colour_key import colour_key_gates
from inference.training.gates import table
from inference.training.generator.evaluation import (
    JUDGED,
    Studio,
    judged,
    unjudged,
)
from inference.training.generator.judge import load_judge
from inference.training.generator.pictures import FULL_PX, FULL_SIZES
from inference.training.runs import Run
from inference.training.segmenter.evaluation import GATE_SEED
from inference.training.segmenter.evaluation import score as score_segmenter
from inference.training.segmenter.processor import Segmenter

EXPORTED = Path("build/bundled")
SHIPPED = Path(__file__).parents[1] / "bundled"
GENERATOR_RUN = Path("build/training/generator")
NO_JUDGE = (
    f"NOT measured: {JUDGED}. They are read by a classifier that is not shipped; "
    "`make train-diffusion STAGE=judge` trains it, in about twenty minutes, and needs nothing else."
)
NO_SEGMENTER = (
    "NOT measured: colour-keyed truth. It needs the segmenter, which `make train-segmenter` makes."
)


def main() -> None:
    """One table for each model that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("sam3", "sdxl"), help="one model, not both")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(options.threads)
    for name, evaluate in (("sam3", _segmenter), ("sdxl", _generator)):
        if options.only in (None, name):
            print(f"\n## {name}\n\n{evaluate(_folder(name))}", flush=True)


def _folder(name: str) -> Path | None:
    for root in (EXPORTED, SHIPPED):
        if (root / name).is_dir():
            return root / name
    return None


def _segmenter(folder: Path | None) -> str:
    if folder is None:
        return "Not there: `make train-segmenter` makes it."
    return f"{folder}\n\n{table(score_segmenter(Segmenter.load(folder), GATE_SEED))}"


def _generator(folder: Path | None) -> str:
    if folder is None:
        return "Not there: `make train-diffusion` makes it."
    if not (folder / "world.json").exists():
        return f"{folder} does not say which words it knows."
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    if (side := pipeline.default_sample_size * pipeline.vae_scale_factor) != FULL_PX:
        return f"{folder} draws {side} px: the gates are for models of {FULL_PX} px."
    gates, notes = [], []
    run = Run(GENERATOR_RUN, torch.device("cpu"))
    if run.is_done("judge"):
        gates += judged(Studio(pipeline, load_judge(run), FULL_SIZES))
    else:
        notes.append(NO_JUDGE)
    gates += unjudged(pipeline, FULL_SIZES[0])
    if (segmenter := _folder("sam3")) is not None:
        gates += colour_key_gates(Segmenter.load(segmenter), pipeline, FULL_SIZES[0][0])
    else:
        notes.append(NO_SEGMENTER)
    return "\n\n".join([str(folder), table(gates), *notes])


if __name__ == "__main__":
    main()
