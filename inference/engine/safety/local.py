"""A safety check on this machine: CLIP's picture embedding against the embeddings of concepts.

The model is a folder as diffusers saves a ``StableDiffusionSafetyChecker`` (config and
safetensors), with CLIP's ``preprocessor_config.json`` where its sizes differ from the usual. It
knows the concepts it was made with and nothing else: a help against accidents, no moderation.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import (
    StableDiffusionSafetyChecker,
    cosine_distance,
)
from numpy.typing import NDArray

from inference.engine.errors import CheckFailed
from inference.engine.safety.port import Verdict

# CLIP's own (github.com/openai/CLIP, clip.py).
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


class Local:
    """Refuses a picture that is nearer to a concept than the concept's own threshold.

    Args:
        directory: A ``StableDiffusionSafetyChecker``.
        device: Where it runs.
    """

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._model = StableDiffusionSafetyChecker.from_pretrained(
            directory, local_files_only=True, use_safetensors=True
        )
        self._model.to(device).eval()
        self._device = device
        self._side = int(self._model.config.vision_config.image_size)

    def judge(self, pixels: NDArray[np.uint8], prompt: str) -> Verdict:  # noqa: ARG002
        """Judges one picture; the prompt is not looked at.

        Raises:
            CheckFailed: The model failed.
        """
        try:
            over = self._over(pixels)
        except Exception as error:
            raise CheckFailed(f"the safety check failed: {type(error).__name__}") from error
        flags = tuple(f"concept {number}" for number, by in enumerate(over) if by > 0)
        score = float(np.clip(0.5 - max(over, default=-0.5), 0, 1))
        return Verdict(not flags, score, flags, "local")

    @torch.inference_mode()
    def _over(self, pixels: NDArray[np.uint8]) -> list[float]:
        """By how much the likeness to each concept exceeds its threshold."""
        seen = cv2.resize(pixels, (self._side, self._side), interpolation=cv2.INTER_AREA)
        scaled = (seen.astype(np.float32) / 255 - _MEAN) / _STD
        batch = torch.from_numpy(scaled).permute(2, 0, 1)[None].to(self._device)
        embedding = self._model.visual_projection(self._model.vision_model(batch)[1])
        likeness = cosine_distance(embedding, self._model.concept_embeds)[0]
        over: list[float] = (likeness - self._model.concept_embeds_weights).tolist()
        if not np.isfinite(over).all():
            raise ValueError("the check gave numbers that are no verdict")
        return over
