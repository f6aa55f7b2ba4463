"""Whether segmenters can be used: one is ready when a real request has passed through it."""

from __future__ import annotations

import asyncio
import io
import logging
from contextlib import suppress
from pathlib import Path

from atelier.inference.v1.inference_pb2 import (
    MODEL_STATE_FAILED,
    MODEL_STATE_READY,
    MODEL_STATE_STARTING,
    ModelState,
)
from PIL import Image

from inference.api.reviving import revive_until
from inference.api.segment_port import Segmenting
from inference.engine.errors import EngineError, Overloaded
from inference.engine.segmentation.installed import find
from inference.engine.segmentation.request import SegmentRequest

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TRIAL_SECONDS_MAX = 300.0


class SegmentReadiness:
    """The state of every installed segmenter, kept up to date by :meth:`run`.

    The service serves whatever they are: pictures can be drawn without them.

    Args:
        engine: The segmenter.
        models: Folder with one folder per model.
    """

    def __init__(self, engine: Segmenting, models: Path) -> None:
        self._engine = engine
        self._models = models
        self._states: dict[str, ModelState.ValueType] = {}
        self._doubted = asyncio.Event()

    @property
    def installed(self) -> list[str]:
        """Their names."""
        return [path.name for path in find(self._models)]

    @property
    def states(self) -> dict[str, ModelState.ValueType]:
        """The state of every one, by name."""
        return {name: self._states.get(name, MODEL_STATE_STARTING) for name in self.installed}

    def doubt(self) -> None:
        """Has a real request sent, because one has just failed."""
        self._doubted.set()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            while not self.installed:  # noqa: ASYNC110  # folders tell nobody when they come
                await asyncio.sleep(LOOK_SECONDS)
            await revive_until(self._all_tried, self._engine.revive)
            log.info("segmenters are ready")
            await self._stay_ready()
            log.warning("the segmenter is gone")
            self._states = dict.fromkeys(self._states, MODEL_STATE_FAILED)
            await self._engine.revive()

    async def _all_tried(self) -> bool:
        """Tries every model where the engine answers; whether any is ready."""
        if not await self._engine.ready():
            return False
        self._doubted.clear()
        self._states = {name: await self._try(name) for name in self.installed}
        return MODEL_STATE_READY in self._states.values()

    async def _stay_ready(self) -> None:
        """Returns when the engine does not answer, or no segmenter passes a real request."""
        while await self._engine.ready():
            if self._doubted.is_set() and not await self._all_tried():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._doubted.wait(), LOOK_SECONDS)

    async def _try(self, name: str) -> ModelState.ValueType:
        try:
            async with asyncio.timeout(TRIAL_SECONDS_MAX):
                await self._engine.segment(SegmentRequest(_grey(), ("a trial",), name))
        except Overloaded:
            pass  # it is so ready that others are before us
        except (EngineError, TimeoutError) as error:
            log.warning("a trial failed", extra={"model": name, "error": str(error)})
            return MODEL_STATE_FAILED
        return MODEL_STATE_READY


def _grey() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (128, 128, 128)).save(out, "PNG")
    return out.getvalue()
