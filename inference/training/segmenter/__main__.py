"""Trains the bundled segmenter: `python -m inference.training.segmenter [--stage NAME]`.

Stages run in order; one that is done is skipped, one that was broken off goes on from its last
checkpoint under build/training/segmenter/<stage>/.
"""

from __future__ import annotations

from pathlib import Path

from inference.training.stages import run_stages

STAGES = {
    "data": ("scenes", "draw_data"),
    "dense": ("dense", "train_dense"),
    "places": ("dense", "train_places"),
    "joint": ("joint", "train_joint"),
    "fine": ("joint", "train_fine"),
    "evaluate": ("evaluation", "evaluate"),
    "export": ("export", "export_bundle"),
}

if __name__ == "__main__":
    run_stages(__doc__, "inference.training.segmenter", STAGES, Path("build/training/segmenter"))
