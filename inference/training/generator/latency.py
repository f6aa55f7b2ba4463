"""How long one picture takes on two threads: the pipeline alone, and through the service's engine.

Nobody else may be at work on the machine for the figures to hold. The fastest of a few has the
limit, because other work counts least in it; the median beside it is what a user meets there.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch
from diffusers import StableDiffusionXLPipeline

from inference.engine.request import ImageRequest
from inference.training.gates import Gate
from inference.training.generator.sampling import GUIDANCE_SCALE, sample

THREADS, STEPS, REPEATS = 2, 12, 5
SECONDS_MAX = 3.0
PROMPT = "a red vase"
NAME = "sdxl"


def latency_gates(pipeline: StableDiffusionXLPipeline, size: tuple[int, int]) -> list[Gate]:
    """Fastest and median, of the pipeline and of the engine, in turns."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with tempfile.TemporaryDirectory() as folder:
            ways = {"": partial(_alone, pipeline, size)}
            if ask := _through_engine(pipeline, Path(folder), size):
                ways[" through the engine"] = ask
            seconds = _in_turns(list(ways.values()))
    finally:
        torch.set_num_threads(before)
    title = f"seconds of a picture, {size[0]} px, {STEPS} steps, {THREADS} threads"
    gates = []
    for way, seen in zip(ways, seconds, strict=True):
        least = Gate(f"{title}: fastest{way}", min(seen), SECONDS_MAX, at_most=True, count=REPEATS)
        gates += [least, Gate(f"{title}: median{way}", median(seen), count=REPEATS)]
    return gates


def _in_turns(ways: Sequence[Callable[[int], None]]) -> list[list[float]]:
    seconds: list[list[float]] = [[] for _ in ways]
    for seed in range(REPEATS + 1):
        for way, seen in zip(ways, seconds, strict=True):
            started = time.perf_counter()
            way(seed)
            if seed:  # the first one warms up
                seen.append(time.perf_counter() - started)
    return seconds


def _alone(pipeline: StableDiffusionXLPipeline, size: tuple[int, int], seed: int) -> None:
    width, height = size
    sample(pipeline, [PROMPT], [seed], width_px=width, height_px=height, steps=STEPS)


def _through_engine(
    pipeline: StableDiffusionXLPipeline, root: Path, size: tuple[int, int]
) -> Callable[[int], None] | None:
    """Asks the engine; None, and a line that says so, where training has no engine beside it."""
    try:
        served = importlib.import_module("inference.training.generator.served")
    except ImportError as missing:
        # A stage of hours does not fall over what it does not need.
        print(f"through the engine: NOT measured: {missing}", flush=True)
        return None
    pipeline.save_pretrained(root / NAME)
    ask = served.asking(root, NAME, size[0])
    return lambda seed: ask(
        ImageRequest(PROMPT, seed=seed, steps=STEPS, guidance_scale=GUIDANCE_SCALE)
    )
