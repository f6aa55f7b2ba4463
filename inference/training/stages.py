"""The command line of a training: stages in order, each resumed from its last checkpoint."""

from __future__ import annotations

import argparse
import importlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from inference.training.runs import Run

Stages = Mapping[str, tuple[str, str]]  # name: (module, function that takes the run)


_NONE: Stages = {}


def run_stages(
    description: str | None,
    package: str,
    stages: Stages,
    root: Path,
    *,
    only_asked: Stages = _NONE,
) -> None:
    """Runs every stage that is not done, or the one that is asked for, of `only_asked` too."""
    known = {**stages, **only_asked}
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--stage", choices=list(known), help="only this one, even if done")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument(
        "--processes", type=int, default=1, help="of one thread, where a stage can share batches"
    )
    parser.add_argument("--root", type=Path, default=root, help="where the work files are kept")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(options.threads)
    run = Run(
        options.root,
        torch.device(options.device),
        processes=options.processes if options.device == "cpu" else 1,
    )
    for name in [options.stage] if options.stage else list(stages):
        if options.stage is None and run.is_done(name):
            continue
        started = time.monotonic()
        module, function = known[name]
        getattr(importlib.import_module(f"{package}.{module}"), function)(run)
        print(f"{name}: {(time.monotonic() - started) / 60:.1f} min", flush=True)
