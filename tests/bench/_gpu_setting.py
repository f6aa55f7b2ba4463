"""What ``gpu`` measures on a card, and what its dry run takes instead."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.engine.models.model import Model
from inference.engine.request import TIMEOUT_SECONDS_MAX, ImageRequest
from tests.unit.inference import full_segmenter, full_size, tiny, tiny_kin, tiny_sam3

NAME = "sdxl"
GUIDANCE_SCALE = 5.0
BUNDLED = Path(__file__).parents[2] / "inference" / "bundled"


@dataclass(frozen=True)
class Setting:
    """Sizes of a measurement.

    Attributes:
        is_dry: Whether tiny models run on the CPU, to see that everything runs.
        rounds: How often every variant takes its turn.
        steps: Of the pictures.
        users: Who ask again as soon as they are answered, so many at once.
        each: Pictures that every one of them asks for.
        arrivals: Pictures of a Poisson process.
        bursts: Pictures at once where levers are compared, the greatest last.
        backend: Of ``torch.compile``.
        matmul_side: Of the matrices by which the card's rate is measured.
        seen: Pictures by which it is seen what a lever changes.
    """

    is_dry: bool
    rounds: int
    steps: tuple[int, ...]
    users: tuple[int, ...]
    each: int
    arrivals: int
    bursts: tuple[int, ...]
    backend: str
    matmul_side: int
    seen: int

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.is_dry else "cuda")

    def save_sdxl(self, folder: Path) -> None:
        if self.is_dry:
            tiny.build().save_pretrained(folder)
        else:
            full_size.save_sdxl(folder)

    def save_flux(self, folder: Path) -> None:
        if self.is_dry:
            tiny_kin.build_flux().save_pretrained(folder)
        else:
            full_size.save_flux(folder)

    def save_sam3(self, folder: Path) -> None:
        if self.is_dry:
            tiny_sam3.save(folder)
        else:
            full_segmenter.save(folder, self.device)


_ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
FULL = Setting(False, _ROUNDS, (20, 30), (1, 4, 8), 2, 24, (1, 8), "inductor", 8_192, 8)
DRY = Setting(True, 1, (4,), (1, 2), 1, 3, (2,), "eager", 64, 1)


def request(number: int, steps: int) -> ImageRequest:
    """A picture, by a prompt of 77 tokens."""
    return ImageRequest(
        full_size.PROMPT,
        seed=number,
        steps=steps,
        guidance_scale=GUIDANCE_SCALE,
        timeout_seconds=TIMEOUT_SECONDS_MAX,
    )


class Denoiser:
    """The denoiser that a model or a pipeline calls, and how to put another in its place."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self._name = owner, name
        self.own = getattr(owner, name)

    @classmethod
    def of(cls, model: Model) -> Denoiser:
        architecture = model._architecture
        return cls(architecture, "_unet" if hasattr(architecture, "_unet") else "_transformer")

    def put(self, unet: Any) -> None:
        setattr(self._owner, self._name, unet)


def compiled(unet: Any, setting: Setting, *, is_off: bool = False, mode: str | None = None) -> Any:
    """The same weights, compiled for the first size of a batch, then once more for every other.

    Tracing takes a dry run most of its time: it is done there once for all sizes, and not where it
    is off. The mode is the card's compiler's.
    """
    dynamic, mode = (True, None) if setting.is_dry else (None, mode)
    return torch.compile(unet, backend=setting.backend, dynamic=dynamic, mode=mode, disable=is_off)


def synchronize(device: torch.device) -> None:
    """Waits for the card."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
