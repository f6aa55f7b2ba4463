"""Draws pictures with the trained pipeline, one seed per picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from numpy.typing import NDArray

STEPS = 20
GUIDANCE_SCALE = 4.0
BATCH = 16


def sample(
    pipeline: StableDiffusionXLPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    width_px: int,
    height_px: int,
    steps: int = STEPS,
    guidance_scale: float = GUIDANCE_SCALE,
) -> NDArray[np.uint8]:
    """Pictures (N, height, width, 3); the same prompt and seed give the same picture."""
    pipeline.set_progress_bar_config(disable=True)
    parts = []
    for start in range(0, len(prompts), BATCH):
        part = slice(start, start + BATCH)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[part]]
        answer = pipeline(
            list(prompts[part]),
            width=width_px,
            height=height_px,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=generators,
            output_type="np",
        )
        parts.append((answer.images * 255).round().astype(np.uint8))
    return np.concatenate(parts)
