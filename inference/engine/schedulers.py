"""Schedulers by name, made anew for every row because each keeps the state of one picture."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

_BY_NAME = {
    "euler": EulerDiscreteScheduler,
    "dpm": DPMSolverMultistepScheduler,
    "ddim": DDIMScheduler,
}


class Schedule:
    """The steps of one row.

    Args:
        template: The scheduler saved with the model, whose configuration is copied.
        name: euler, dpm or ddim; empty: the model's own.
        steps: Sampling steps.
        generator: The row's own source of noise, for schedulers that add some.
    """

    def __init__(self, template: Any, name: str, steps: int, generator: torch.Generator) -> None:
        kind = _BY_NAME[name] if name else type(template)
        # DDIM clips predictions to [-1, 1] unless told; that is right for pixels, not for latents.
        extra = {"clip_sample": False} if kind is DDIMScheduler else {}
        self._scheduler = kind.from_config(template.config, **extra)
        # On the CPU: indexing time steps on the card would wait for it at every step.
        self._scheduler.set_timesteps(steps, device="cpu")
        takes = inspect.signature(self._scheduler.step).parameters
        self._noise = {"generator": generator} if "generator" in takes else {}

    @property
    def count(self) -> int:
        """Steps in all; some schedulers take more than they were asked for."""
        return len(self._scheduler.timesteps)

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise to begin with."""
        return float(self._scheduler.init_noise_sigma)

    def time(self, index: int) -> torch.Tensor:
        """The time step that the model is told, a scalar."""
        return self._scheduler.timesteps[index]

    def scaled(self, latents: torch.Tensor, index: int) -> torch.Tensor:
        """The latents as the model wants to see them."""
        return self._scheduler.scale_model_input(latents, self.time(index))

    def step(
        self, prediction: torch.Tensor, index: int, latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the next latents and the best guess of the last ones."""
        out = self._scheduler.step(prediction, self.time(index), latents, **self._noise)
        guess = getattr(out, "pred_original_sample", None)
        return out.prev_sample, out.prev_sample if guess is None else guess
