"""One picture in the making: everything that differs from its neighbours in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from inference.engine.errors import EngineError
from inference.engine.models.control import Hint
from inference.engine.models.lora import Worn
from inference.engine.models.schedulers import Schedule
from inference.engine.models.source import Source
from inference.engine.request import ImageRequest, Picture, Watcher
from inference.engine.shapes import Size


class Shape(NamedTuple):
    """What rows must share to be stepped together."""

    model: str
    size: Size


@dataclass(frozen=True)
class Conditions:
    """What the denoiser is told beside latents and time, one lane per prompt.

    With guidance there are two lanes, the negative one first; without, only the positive one.

    Attributes:
        tokens: (lanes, tokens, width).
        pooled: (lanes, width).
        sizes: (lanes, 6), SDXL's original size, crop and target size; others: (lanes, 0).
    """

    tokens: torch.Tensor
    pooled: torch.Tensor
    sizes: torch.Tensor

    @property
    def lanes(self) -> int:
        """1 or 2."""
        return self.tokens.shape[0]


@dataclass(eq=False)
class Row:
    """A picture in the making.

    Attributes:
        request: What was asked for, without its pictures.
        latents: (1, channels, height, width) in float32.
        source: The picture that it begins from, if any.
        seen: (1, 1 + channels, h, w), what a denoiser made for painting over sees; else None.
        hints: Drawings to follow.
        worn: Adapters and their weights.
        guess: What the latents would be if this were the last step.
        index: Steps done.
        ended: Whether the watcher has heard the end.
    """

    request: ImageRequest
    watcher: Watcher
    shape: Shape
    guidance_scale: float
    schedule: Schedule
    conditions: Conditions
    latents: torch.Tensor
    began: float
    source: Source | None = None
    seen: torch.Tensor | None = None
    hints: Sequence[Hint] = ()
    worn: Sequence[Worn] = ()
    guess: torch.Tensor = field(init=False)
    index: int = 0
    ended: bool = False

    @property
    def done(self) -> bool:
        """Whether every step is done."""
        return self.index >= self.schedule.count

    def scaled(self) -> torch.Tensor:
        """What the denoiser sees: (lanes, channels, height, width)."""
        scaled = self.schedule.scaled(self.latents, self.index)
        if self.seen is not None:
            scaled = torch.cat([scaled, self.seen], 1)
        return scaled.expand(self.conditions.lanes, -1, -1, -1)

    def times(self) -> torch.Tensor:
        """The time step of every lane, float32."""
        return self.schedule.time(self.index).float().expand(self.conditions.lanes)

    def acting(self) -> list[Hint]:
        """The drawings that act at the step at hand."""
        return [hint for hint in self.hints if hint.acts(self.index, self.schedule.count)]

    def guided(self, lanes: torch.Tensor) -> torch.Tensor:
        """Classifier-free guidance: away from the negative prompt (arXiv:2207.12598)."""
        if lanes.shape[0] == 1:
            return lanes
        negative, positive = lanes.chunk(2)
        return negative + self.guidance_scale * (positive - negative)

    @torch.inference_mode()
    def advance(self, prediction: torch.Tensor) -> None:
        """Does one step with what the denoiser said."""
        latents, guess = self.schedule.step(prediction, self.index, self.latents)
        if self.source is not None:
            before = self.schedule.noised(self.source.clean, self.source.noise, self.index + 1)
            latents = self.source.keep(latents, before)
            guess = self.source.keep(guess, self.source.clean)
        self.latents, self.guess = latents, guess
        self.index += 1

    def finish(self, picture: Picture) -> None:
        """Hands over the picture."""
        self.ended = True
        self.watcher.finished(picture)

    def fail(self, error: EngineError) -> None:
        """Says that there will be no picture, unless the end has been said."""
        if not self.ended:
            self.ended = True
            self.watcher.failed(error)
