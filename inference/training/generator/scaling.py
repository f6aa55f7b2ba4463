"""How good the generator becomes with how many samples: `python -m ....generator.scaling [N ...]`.

Each number of samples is a training of its own, of the stage `small` at 128 px, from the start and
with the learning rate brought down at its own end: the rates of one long training would flatter the
last points. Needs the stages data, vae, text, latents and judge. Broken off, it goes on from the
last checkpoint; a number that is done is not trained again. Work files lie under
`build/training/generator/scaling-<samples>/`; at 70 samples a second the usual four take an hour
and a half on one core, scoring included.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from inference.training.gates import Gate, load_gates, save_gates
from inference.training.generator.decoder import load_vae
from inference.training.generator.denoiser import SMALL, Plan, average_of, train_plan
from inference.training.generator.evaluation import Studio, judged
from inference.training.generator.judge import load_judge
from inference.training.generator.models import build_pipeline
from inference.training.generator.pictures import HALF_SIZES
from inference.training.generator.text import load_text_encoders
from inference.training.runs import Run

SAMPLES = (16_000, 32_000, 64_000, 128_000)
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
    """The stage `small`, so long."""
    return replace(SMALL, stage=f"scaling-{samples}", samples=samples)


def _scored(run: Run, samples: int) -> list[Gate]:
    plan = plan_of(samples)
    if not run.is_done(plan.stage):
        train_plan(run, plan)
    scores = run.stage(plan.stage) / "gates.json"
    if not scores.exists():
        save_gates(scores, _score(run, plan))
    return load_gates(scores)


def _score(run: Run, plan: Plan) -> list[Gate]:
    found = average_of(run, plan)
    assert found is not None
    tokenizer, encoders = load_text_encoders(run)
    pipeline = build_pipeline(tokenizer, encoders, found[0], load_vae(run))
    return judged(Studio(pipeline, load_judge(run), HALF_SIZES[:1]))


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
