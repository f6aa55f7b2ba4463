"""How good the generator becomes with how many samples: `python -m ....generator.scaling [N ...]`.

Each number of samples is a training of its own, from the start and with the learning rate brought
down at its own end: the rates of one long training would flatter the last points. Scored on seeds
that are not the gates'. Needs the stages
data to judge. Broken off, it goes on from the last checkpoint; a number that is done is not trained
again. Work files lie under `build/training/generator/scaling-<samples>/`; at 17 samples a second
the usual four take four hours on one core, scoring not counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from inference.training.gates import Gate, load_gates, save_gates
from inference.training.generator.decoder import load_vae
from inference.training.generator.denoiser import Plan, load_average, train_plan
from inference.training.generator.evaluation import Studio, judged
from inference.training.generator.judge import load_judge
from inference.training.generator.models import build_pipeline
from inference.training.generator.pictures import FULL_SIZES
from inference.training.generator.text import load_text_encoders
from inference.training.runs import Run

SAMPLES = (16_000, 32_000, 64_000, 128_000)
FIRST_SEED = 1_700_000  # none of the gates'
SHOWN = (
    "en: one object, shape",
    "en: one object, colour",
    "ko: one object, shape",
    "en: held-out pairs, colour and shape",
    "en: two objects, all four attributes",
)


def scaling(run: Run, budgets: Sequence[int]) -> str:
    """Trains and scores each number of samples, and returns the curve as a Markdown table."""
    return curve({samples: _scored(run, samples) for samples in sorted(budgets)})


def curve(scores: dict[int, list[Gate]]) -> str:
    """What is shown of the gates, a line for each number of samples."""
    head = f"| samples | {' | '.join(SHOWN)} |\n|{'---|' * (len(SHOWN) + 1)}"
    lines = []
    for samples, gates in scores.items():
        values = {gate.name: gate.value for gate in gates}
        cells = (f"{values[name]:.3f}" for name in SHOWN)
        lines.append(f"| {samples:,} | {' | '.join(cells)} |")
    return "\n".join([head, *lines])


def plan_of(samples: int) -> Plan:
    """A training of its own, so long."""
    return Plan(f"scaling-{samples}", samples)


def _scored(run: Run, samples: int) -> list[Gate]:
    plan = plan_of(samples)
    if not run.is_done(plan.stage):
        train_plan(run, plan)
    scores = run.stage(plan.stage) / "gates.json"
    if not scores.exists():
        save_gates(scores, _score(run, plan))
    return load_gates(scores)


def _score(run: Run, plan: Plan) -> list[Gate]:
    unet, _ = load_average(run, plan)
    tokenizer, encoders = load_text_encoders(run)
    pipeline = build_pipeline(tokenizer, encoders, unet, load_vae(run))
    return judged(Studio(pipeline, load_judge(run), FULL_SIZES[:1], first_seed=FIRST_SEED))


def main() -> None:
    """Prints the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", nargs="*", type=int, default=SAMPLES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--root", type=Path, default=Path("build/training/generator"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(scaling(Run(options.root, torch.device("cpu")), options.samples))


if __name__ == "__main__":
    main()
