"""Flux: pictures at once through our engine, as it is and compiled, and diffusers' pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import FluxPipeline

from inference.engine.models.model import Model
from inference.engine.sampling.profile import measure
from inference.engine.sampling.registry import Installed
from tests.bench._gpu_levers import Variant, draw
from tests.bench._gpu_setting import NAME, Denoiser, Setting, compiled, request
from tests.bench.record import Record

OURS = "our engine"


def part(setting: Setting, folder: Path) -> Iterator[Record]:
    """Every number of pictures by every way of drawing them, in turns."""
    setting.save_flux(folder / NAME)
    model = Model(NAME, folder / NAME, setting.device)
    own = Denoiser.of(model).own
    installed = Installed(model, measure(model))
    fast = compiled(own, setting, is_off=setting.is_dry)
    steps = setting.steps[0]

    def ours(variant: Variant) -> Callable[[int], Any]:
        return lambda count: draw(folder, installed, variant, setting, count, steps)

    # Of the same modules: two of its size would not fit.
    pipeline: Any = model._architecture._pipeline
    pipeline.set_progress_bar_config(disable=True)
    ways = {
        OURS: ours(Variant(own)),
        "our engine, compiled": ours(Variant(fast, is_compiled=True)),
        "diffusers": lambda count: _drawn(pipeline, model.base_px, count, steps),
    }
    for count in setting.bursts:
        spent = _turns(setting, ways, count)
        for name, each in spent.items():
            rates = [count / seconds for seconds in each]
            ratio = median(a / b for a, b in zip(spent["diffusers"], each, strict=True))
            title = f"gpu: Flux, {model.base_px} px, {steps} steps, {count} at once: {name}"
            yield Record(title, median(rates), "pictures/s", "diffusers", ratio)


def _turns(
    setting: Setting, ways: dict[str, Callable[[int], Any]], count: int
) -> dict[str, list[float]]:
    """Seconds of every round, without the first, which compiles and warms up."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(setting.rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way(count)
            if turn:
                spent[name].append(time.perf_counter() - began)
    return spent


@torch.inference_mode()
def _drawn(pipeline: FluxPipeline, side: int, count: int, steps: int) -> Any:
    asked = [request(number, steps) for number in range(count)]
    return pipeline(
        [one.prompt for one in asked],
        height=side,
        width=side,
        num_inference_steps=steps,
        guidance_scale=asked[0].guidance_scale,
        generator=[torch.Generator().manual_seed(one.seed) for one in asked],
        output_type="np",
    ).images
