"""What the gates measure, seen from the environment that has torch, on tiny random weights.

``python -m tests.unit.training.scoring_checks`` prints its findings as one JSON object;
``test_scoring.py`` judges them.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.training import eval_models
from inference.training.colour_key import mean_iou, null_iou
from inference.training.gates import Gate, save_gates
from inference.training.generator import evaluation, sampling
from inference.training.generator import latency as latency_of
from inference.training.generator import scaling as curve
from inference.training.generator.judge import Judge
from inference.training.runs import Run
from inference.training.segmenter import evaluation as segmenting
from inference.training.segmenter.measuring import Tally
from inference.training.segmenter.processor import Segmenter
from inference.training.world.shelves import ShelfPlan
from tests.unit.inference import tiny, tiny_sam3

SIZES = ((64, 64), (64, 80))


def _few() -> None:
    """Makes every group of pictures small, and what is timed short."""
    latency_of.REPEATS, latency_of.STEPS, segmenting.LATENCY_REPEATS = 1, 2, 3
    whole = evaluation.grid
    evaluation.grid = lambda: whole()[:2]
    evaluation.TWO_OBJECTS, evaluation.HELD_OUT_REPEATS, evaluation.ASPECT_PROMPTS = 2, 1, 1
    evaluation.SHARPNESS_SCENES = 4
    evaluation.sample = lambda *args, **kwargs: sampling.sample(*args, **{"steps": 2} | kwargs)


def languages(_: Path) -> list[dict[str, Any]]:
    """The gates that a judge reads, here one that has learned nothing."""
    studio = evaluation.Studio(tiny.build(), Judge().eval(), SIZES)
    return [asdict(gate) for gate in evaluation.judged(studio)]


def latency(_: Path) -> list[dict[str, Any]]:
    """The gates that need no judge."""
    return [asdict(gate) for gate in evaluation.unjudged(tiny.build(), SIZES[0])]


def fresh_clone(folder: Path) -> str:
    """What is printed with neither a judge nor a segmenter."""
    tiny.build().save_pretrained(folder / "sdxl")
    (folder / "sdxl" / "world.json").write_text("{}")
    eval_models.EXPORTED, eval_models.SHIPPED = folder / "none", folder
    eval_models.GENERATOR_RUN = folder / "run"
    eval_models.FULL_SIZES, eval_models.FULL_PX = SIZES, SIZES[0][0]
    return eval_models._generator(folder / "sdxl")


def segmenter_latency(folder: Path) -> list[dict[str, Any]]:
    """Alone and through the engine."""
    tiny_sam3.save(folder / "sam3")
    plan = ShelfPlan("even", 1, 5, ((64, 64),), (0.25,) * 4)
    segmenter = Segmenter.load(folder / "sam3")
    return [asdict(gate) for gate in segmenting._latency(segmenter, plan)]


def absent(_: Path) -> dict[str, float]:
    """What the gate says when only absent surfaces are found, and when only absent nouns are."""
    found = {}
    for wrong in ("surface", "noun"):
        tally = Tally()
        for why in ("same noun", "same colour", "noun", "pair", "surface"):
            for language in ("en", "ko"):
                tally.add(f"absent {why} {language}", why == wrong)
        gates = {gate.name: gate.value for gate in segmenting._gates(tally)}
        found[wrong] = gates["absent concepts found"]
    return found


def colour_key(_: Path) -> list[float]:
    """Value and null of masks that fit, each in its own quarter of the picture."""
    truths = np.zeros((4, 8, 8), bool)
    for at in range(4):
        truths[at, 2 * at : 2 * at + 2] = True
    return [mean_iou(list(truths), list(truths)), null_iou(list(truths), list(truths))]


def scaling(folder: Path) -> dict[str, Any]:
    """The curve of two trainings that are done; a third would be one of its own length."""
    run = Run(folder / "scaled", torch.device("cpu"))
    for samples in (64, 128):
        stage = curve.plan_of(samples).stage
        run.mark_done(stage, "")
        gates = [Gate(name, samples / 1_000) for name in curve.SHOWN]
        save_gates(run.stage(stage) / "gates.json", gates)
    plan = curve.plan_of(256)
    return {
        "table": curve.scaling(run, [128, 64]),
        "plan": [plan.samples, plan.stage],
        "known": [gate["name"] for gate in languages(folder)],
        "shown": curve.SHOWN,
    }


CHECKS = (languages, scaling, latency, fresh_clone, segmenter_latency, absent, colour_key)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _few()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        found = {check.__name__: check(Path(folder)) for check in CHECKS}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
