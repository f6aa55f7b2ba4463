"""Trains the bundled diffusion model: `python -m inference.training.generator [--stage NAME]`.

Stages run in order; one that is done is skipped, one that was broken off goes on from its last
checkpoint under build/training/generator/<stage>/.
"""

from __future__ import annotations

from pathlib import Path

from inference.training.stages import run_stages

STAGES = {
    "data": ("pictures", "draw_data"),
    "vae": ("autoencoder", "train_autoencoder"),
    "text": ("text", "train_text_encoders"),
    "latents": ("latents", "encode_latents"),
    "judge": ("judge", "train_judge"),
    "decoder": ("decoder", "train_decoder"),
    "denoiser": ("denoiser", "train_denoiser"),
    "evaluate": ("evaluation", "evaluate"),
    "export": ("export", "export_bundle"),
}

INSTEAD = {"kept-vae": ("autoencoder", "keep_autoencoder")}  # of a stage, only if asked for

if __name__ == "__main__":
    run_stages(
        __doc__,
        "inference.training.generator",
        STAGES,
        Path("build/training/generator"),
        only_asked=INSTEAD,
    )
