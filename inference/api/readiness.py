"""Whether models can be used: the default one is ready when a real request has passed through it.

The others are loaded when they are asked for; of them the engine's own word is passed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from atelier.inference.v1.inference_pb2 import (
    MODEL_STATE_BUSY,
    MODEL_STATE_FAILED,
    MODEL_STATE_READY,
    MODEL_STATE_STARTING,
    MODEL_STATE_UNLOADED,
    Model,
    ModelState,
)

from inference.api.port import Sampler
from inference.api.reviving import revive_until
from inference.engine import status
from inference.engine.errors import EngineError, Overloaded
from inference.engine.models.installed import find
from inference.engine.request import ImageRequest
from inference.engine.status import ModelStatus

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TRIAL_SECONDS_MAX = 300.0
# A string in, a picture out: with numpy 2 a server says that it is ready and dies of the first
# string that it is sent.
TRIAL = ImageRequest("a trial", steps=1)
_STATES = {
    status.UNLOADED: MODEL_STATE_UNLOADED,
    status.STARTING: MODEL_STATE_STARTING,
    status.READY: MODEL_STATE_READY,
    status.BUSY: MODEL_STATE_BUSY,
    status.FAILED: MODEL_STATE_FAILED,
}


class Readiness:
    """The state of every installed model, kept up to date by :meth:`run`.

    Args:
        sampler: The engine.
        models: Folder with one folder per model.
        default_model: The one that the service cannot do without.
    """

    def __init__(self, sampler: Sampler, models: Path, default_model: str) -> None:
        self._sampler = sampler
        self._models = models
        self._default_model = default_model
        self._told: dict[str, ModelStatus] = {}
        # Of the default model, by our own trial; of all of them while the engine is away.
        self._trial = MODEL_STATE_STARTING
        self._doubted = asyncio.Event()

    @property
    def models(self) -> list[Model]:
        """How every installed model is, by name."""
        names = {path.name for path in find(self._models)} | {self._default_model}
        return [self._model(name) for name in sorted(names)]

    @property
    def states(self) -> dict[str, ModelState.ValueType]:
        """The state of every model, by name."""
        return {model.name: model.state for model in self.models}

    def _model(self, name: str) -> Model:
        told = self._told.get(name, ModelStatus(status.STARTING))
        state = _STATES[told.state]
        unproven = name == self._default_model and self._trial != MODEL_STATE_READY
        if unproven or self._trial == MODEL_STATE_FAILED:
            return Model(name=name, state=self._trial, failure=told.failure)
        return Model(
            name=name,
            state=state,
            rows=told.rows,
            size_bytes=told.size_bytes,
            failure=told.failure,
        )

    def doubt(self) -> None:
        """Has a real request sent, because one has just failed."""
        self._doubted.set()

    async def run(self, set_serving: Callable[[bool], Awaitable[None]]) -> None:
        """Watches until it is cancelled; serving while the default model is ready."""
        while True:
            await revive_until(self._tried, self._sampler.revive)
            await set_serving(True)
            log.info("ready", extra={"models": len(self._told)})
            await self._stay_ready()
            await set_serving(False)
            log.warning("the engine is gone")
            self._trial = MODEL_STATE_FAILED
            await self._sampler.revive()

    async def _tried(self) -> bool:
        """Tries the default model where the engine answers; whether it is ready."""
        if not await self._look():
            return False
        self._doubted.clear()
        self._trial = await self._try()
        return self._trial == MODEL_STATE_READY

    async def _look(self) -> bool:
        """Asks the engine how its models are; whether it answers."""
        told = await self._sampler.models()
        self._told = told or {}
        return told is not None

    async def _stay_ready(self) -> None:
        """Returns when the engine does not answer, or the default model fails a real request.

        The real request may wait in line; meanwhile the engine is asked whether it lives.
        """
        trial: asyncio.Task[ModelState.ValueType] | None = None
        try:
            while await self._look():
                if trial is None and self._doubted.is_set():
                    self._doubted.clear()
                    trial = asyncio.create_task(self._try())
                if trial is not None and trial.done():
                    if trial.result() != MODEL_STATE_READY:
                        return
                    trial = None
                await self._pause(trial)
        finally:
            if trial is not None:
                trial.cancel()

    async def _pause(self, trial: asyncio.Task[ModelState.ValueType] | None) -> None:
        """Waits for the trial or, without one, for a doubt; for a second at most."""
        if trial is not None:
            await asyncio.wait({trial}, timeout=LOOK_SECONDS)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._doubted.wait(), LOOK_SECONDS)

    async def _try(self) -> ModelState.ValueType:
        name = self._default_model
        trial = ImageRequest(TRIAL.prompt, steps=TRIAL.steps, model=name)
        try:
            async with asyncio.timeout(TRIAL_SECONDS_MAX):
                async for _ in self._sampler.sample(trial):
                    pass
        except Overloaded:
            pass  # it is so ready that others are before us
        except (EngineError, TimeoutError) as error:
            log.warning("a trial failed", extra={"model": name, "error": str(error)})
            return MODEL_STATE_FAILED
        return MODEL_STATE_READY
