"""Runs inference over an engine whose step takes 100 ms and whose pictures are all the same.

What it leaves of inference is what the platform adds: calls, progress, PNG, storage.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import numpy as np

from inference import __main__ as inference
from inference.api.port import Sampler
from inference.config import InferenceSettings
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.status import READY, ModelStatus
from kit import process
from kit.process import Process

STEPS, STEP_SECONDS = 12, 0.1
SIDE_PX = 1_024
MODEL = "paced"


class Paced:
    """An engine of known step time."""

    def __init__(self) -> None:
        slope = np.linspace(0, 255, SIDE_PX, dtype=np.uint8)
        noise = np.random.default_rng(0).integers(0, 16, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        self._pixels = np.maximum(slope[:, None, None], noise)

    async def models(self) -> dict[str, ModelStatus]:
        return {MODEL: ModelStatus(READY)}

    async def revive(self) -> bool:
        return True

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        for step in range(1, STEPS + 1):
            await asyncio.sleep(STEP_SECONDS)
            yield Progress(step, STEPS)
        seconds = STEPS * STEP_SECONDS
        yield Picture(self._pixels, MODEL, request.seed, STEPS, 1.0, seconds)


async def _open(running: Process, settings: InferenceSettings) -> Sampler:
    return Paced()


if __name__ == "__main__":
    inference._open_engine = _open
    process.run(InferenceSettings, inference.compose)
