"""Schedulers by name, made anew for every row because each keeps the state of one picture."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift

from inference.engine.errors import InvalidRequest


class _Kind(NamedTuple):
    scheduler: type[Any]
    options: Mapping[str, Any]


_BY_NAME = {
    "euler": _Kind(EulerDiscreteScheduler, {}),
    "euler_karras": _Kind(EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    "euler_a": _Kind(EulerAncestralDiscreteScheduler, {}),
    "dpm": _Kind(DPMSolverMultistepScheduler, {}),
    "dpmpp_2m": _Kind(DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_karras": _Kind(
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "dpmpp_2m_sde": _Kind(DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    # DDIM clips predictions to [-1, 1] unless told; that is right for pixels, not for latents.
    "ddim": _Kind(DDIMScheduler, {"clip_sample": False}),
    "unipc": _Kind(UniPCMultistepScheduler, {}),
    "lcm": _Kind(LCMScheduler, {}),
    "flow_euler": _Kind(FlowMatchEulerDiscreteScheduler, {}),
}


class Schedule:
    """The steps of one row.

    Args:
        template: The scheduler saved with the model, whose configuration is copied.
        name: One of :data:`inference.engine.request.SCHEDULERS`; empty: the model's own.
        steps: Sampling steps of a picture from pure noise.
        generator: The row's own source of noise, for schedulers that add some.
        strength: Share of the steps that is done, the last ones; at least one.
        tokens: Patches of the picture, by which models of flow shift their steps.

    Raises:
        InvalidRequest: The model cannot be sampled by that name, or not in so many steps.
    """

    def __init__(
        self,
        template: Any,
        name: str,
        steps: int,
        generator: torch.Generator,
        strength: float = 1.0,
        tokens: int = 0,
    ) -> None:
        kind = _kind(template, name)
        self._scheduler = kind.scheduler.from_config(template.config, **kind.options)
        self._flows = hasattr(self._scheduler, "scale_noise")
        self._set_steps(steps, tokens)
        # DPM and others look their first step up by time; two may be alike, so it is said.
        self._first = self._skipped(steps, strength)
        if hasattr(self._scheduler, "set_begin_index"):
            self._scheduler.set_begin_index(self._first)
        takes = inspect.signature(self._scheduler.step).parameters
        self._noise = {"generator": generator} if "generator" in takes else {}

    def _set_steps(self, steps: int, tokens: int) -> None:
        # On the CPU: indexing time steps on the card would wait for it at every step.
        try:
            if self._flows:
                self._scheduler.set_timesteps(device="cpu", **self._flow(steps, tokens))
            else:
                self._scheduler.set_timesteps(steps, device="cpu")
        except ValueError as error:
            raise InvalidRequest(f"steps: {error}", field="steps") from error

    def _flow(self, steps: int, tokens: int) -> dict[str, Any]:
        config = self._scheduler.config
        mu = calculate_shift(
            tokens,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        return {"sigmas": np.linspace(1.0, 1 / steps, steps), "mu": mu}

    def _skipped(self, steps: int, strength: float) -> int:
        done = max(1, min(int(steps * strength), steps))
        return (steps - done) * int(self._scheduler.order)

    @property
    def count(self) -> int:
        """Steps in all; some schedulers take more than they were asked for."""
        return len(self._scheduler.timesteps) - self._first

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the noise to begin with."""
        return float(getattr(self._scheduler, "init_noise_sigma", 1.0))

    def time(self, index: int) -> torch.Tensor:
        """The time step that the model is told, a scalar."""
        return self._scheduler.timesteps[self._first + index]

    def scaled(self, latents: torch.Tensor, index: int) -> torch.Tensor:
        """The latents as the model wants to see them."""
        if self._flows:
            return latents
        return self._scheduler.scale_model_input(latents, self.time(index))

    def noised(self, clean: torch.Tensor, noise: torch.Tensor, index: int) -> torch.Tensor:
        """Clean latents with as much noise as there is before a step; after the last, none."""
        if index >= self.count:
            return clean
        time = self.time(index).reshape(1)
        if self._flows:
            return self._scheduler.scale_noise(clean, time, noise)
        return self._scheduler.add_noise(clean, noise, time)

    def step(
        self, prediction: torch.Tensor, index: int, latents: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the next latents and the best guess of the last ones."""
        time: Any = self.time(index)
        if isinstance(self._scheduler, LCMScheduler):
            # As a tensor of integers it would give scalings of torch's default type, whatever that
            # is just now.
            time = int(time)
        out = self._scheduler.step(prediction, time, latents, **self._noise)
        if self._flows:
            sigma = self._scheduler.sigmas[self._first + index]
            return out.prev_sample, latents - sigma * prediction
        # LCM calls it by another name.
        guess = getattr(out, "pred_original_sample", getattr(out, "denoised", None))
        return out.prev_sample, out.prev_sample if guess is None else guess


def _kind(template: Any, name: str) -> _Kind:
    if not name:
        own = type(template)
        return _BY_NAME["ddim"] if own is DDIMScheduler else _Kind(own, {})
    kind = _BY_NAME[name]
    flows = hasattr(template, "scale_noise")
    if flows != hasattr(kind.scheduler, "scale_noise"):
        words = "of flow" if flows else "of noise"
        raise InvalidRequest(f"scheduler: {name} does not fit a model {words}", field="scheduler")
    return kind
