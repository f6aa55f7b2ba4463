"""Stage `export`: the weights in fp16, in a folder that `Sam3Model.from_pretrained` loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from string import Template

import torch

from inference.training.gates import load_gates, table
from inference.training.runs import Run
from inference.training.segmenter.dense import load_tokenizer
from inference.training.segmenter.joint import FINE, load_segmenter
from inference.training.segmenter.model import without_fine_level
from inference.training.segmenter.processor import CONFIG_NAME, Segmenter
from inference.training.segmenter.samples import sheet
from inference.training.segmenter.scenes import SIDE_PX

STAGE = "export"
TARGET = Path("build/bundled/sam3")
CARD = Path(__file__).with_name("card.md")
NOTES = "notes.md"  # of the run's folder: what whoever trained has to say of it


def export_bundle(run: Run) -> None:
    """Writes the bundle with its card."""
    run.mark_done(STAGE, write_bundle(run))


def write_bundle(run: Run, target: Path = TARGET) -> str:
    """Writes weights, configurations, tokenizer and, once there are scores, card and sheet.

    Returns:
        What was written.
    """
    model, stage, seen = load_segmenter(run)
    tokenizer = load_tokenizer(run)
    if stage != FINE.stage:
        model = without_fine_level(model, tokenizer)
    shutil.rmtree(target, ignore_errors=True)
    model.to(dtype=torch.float16).save_pretrained(target)
    tokenizer.save_pretrained(target)
    (target / CONFIG_NAME).write_text(json.dumps(preprocessing(), indent=2), encoding="utf-8")
    (target / "model.safetensors").chmod(0o644)  # written for the owner alone
    scores = run.stage("evaluate") / "gates.json"
    if scores.exists():
        (target / "README.md").write_text(card(run, scores), encoding="utf-8")
        sheet(Segmenter.load(target)).save(target / "samples.png", optimize=True)
    return f"{stage} stage, {seen} scenes, in {target}"


def preprocessing() -> dict[str, object]:
    """What a picture must become, in the words of transformers' image processors."""
    return {
        "image_processor_type": "Sam3ImageProcessor",
        "size": {"height": SIDE_PX, "width": SIDE_PX},
        "do_resize": True,
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }


def card(run: Run, scores: Path) -> str:
    """The README of the folder, from what the stages have recorded."""
    stages = {
        name: (run.stage(name) / "done").read_text(encoding="utf-8").strip()
        if run.is_done(name)
        else "not finished"
        for name in ("data", "dense", "places", "joint", "fine")
    }
    notes = run.root / NOTES
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        stages,
        seed=run.seed,
        notes=notes.read_text(encoding="utf-8").strip() if notes.exists() else "",
        scores=table(load_gates(scores)),
    )
