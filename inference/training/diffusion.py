"""Trains the bundled diffusion model: `python -m inference.training.diffusion [--stage NAME]`.

Stages run in order; one that is done is skipped, one that was broken off goes on from its last
checkpoint under build/training/<stage>/.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from pathlib import Path

import torch

from inference.training.runs import Run

STAGES = {
    "data": ("dataset", "draw_data"),
    "vae": ("autoencoder", "train_autoencoder"),
    "latents": ("latents", "encode_latents"),
    "text": ("text", "train_text_encoders"),
    "decoder": ("decoder", "train_decoder"),
    "unet": ("denoiser", "train_unet"),
    "judge": ("judge", "train_judge"),
    "evaluate": ("evaluation", "evaluate"),
    "export": ("export", "export_bundle"),
}


def main() -> None:
    """Runs one stage, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=list(STAGES), help="only this one, even if done")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--root", type=Path, default=Path("build/training"))
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(options.threads)
    run = Run(options.root, torch.device(options.device))
    for name in [options.stage] if options.stage else list(STAGES):
        if options.stage is None and run.is_done(name):
            continue
        started = time.monotonic()
        module, function = STAGES[name]
        getattr(importlib.import_module(f"inference.training.{module}"), function)(run)
        print(f"{name}: {(time.monotonic() - started) / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()
