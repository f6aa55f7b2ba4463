"""Whether models can be used: the default one is ready when a real request has passed through it.

The others are loaded when they are asked for; of them the engine's own word is passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
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

from inference.api.gauges import Shown
from inference.api.port import Sampler, Unreachable
from inference.api.watching import Proof, Watch
from inference.engine import status
from inference.engine.errors import (
    CheckFailed,
    ContentFiltered,
    EngineError,
    ModelFailed,
    Overloaded,
)
from inference.engine.models.installed import find
from inference.engine.request import TIMEOUT_SECONDS_MAX, ImageRequest
from inference.engine.status import ModelStatus

log = logging.getLogger(__name__)

# A string in, a picture out: with numpy 2 a server says that it is ready and dies of the first
# string that it is sent.
TRIAL_PROMPT = "a trial"
# The engine is so ready that others are before us; or it drew a picture that nobody may see. What
# the safety check thinks of it, or that it cannot be asked, is no fault of the engine's.
_PASSED = (Overloaded, ContentFiltered, CheckFailed)
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
        sampler: The engine itself: a check around it that is down must not take the models away.
        models: Folder with one folder per model.
        default_model: The one that the service cannot do without.
    """

    def __init__(self, sampler: Sampler, models: Path, default_model: str) -> None:
        self._sampler = sampler
        self._models = models
        self._default_model = default_model
        self._told: dict[str, ModelStatus] = {}
        self._watch = Watch(self)
        self._shown = Shown()

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
        if self._watch.proof is Proof.FAILED:
            return Model(name=name, state=MODEL_STATE_FAILED, failure=told.failure)
        if self._watch.proof is Proof.NONE and name == self._default_model:
            return Model(name=name, state=MODEL_STATE_STARTING, failure=told.failure)
        return Model(
            name=name,
            state=_STATES[told.state],
            rows=told.rows,
            size_bytes=told.size_bytes,
            failure=told.failure,
        )

    def heard(self, model: str, error: EngineError) -> None:
        """Has a real request sent where a failed one speaks against the default model.

        Args:
            model: The one that the failed request named, or empty.
            error: Why it failed.
        """
        own = model in ("", self._default_model)
        if isinstance(error, Unreachable) or (own and isinstance(error, ModelFailed)):
            self._watch.doubt()

    async def run(self, set_serving: Callable[[bool], Awaitable[None]]) -> None:
        """Watches until it is cancelled; serving while the default model is ready."""

        async def changed(ready: bool) -> None:
            await set_serving(ready)
            if ready:
                log.info("ready", extra={"models": len(self._told)})
            else:
                log.warning("the engine is gone")

        await self._watch.run(changed)

    async def look(self) -> object | None:
        """How many steps the engine has done and models it has loaded; None: no answer."""
        told = await self._sampler.models()
        self._told = told or {}
        self._shown.models(self.models, self._told)
        if told is None:
            return None
        return sum(one.steps for one in told.values()), sum(one.loads for one in told.values())

    async def passes(self) -> bool:
        """Draws a picture with the default model."""
        trial = ImageRequest(
            TRIAL_PROMPT, steps=1, model=self._default_model, timeout_seconds=TIMEOUT_SECONDS_MAX
        )
        try:
            async for _ in self._sampler.sample(trial):
                pass
        except _PASSED as error:
            log.info("a trial ended without a picture", extra={"reason": error.reason})
        except EngineError as error:
            log.warning("a trial failed", extra={"model": trial.model, "error": str(error)})
            return False
        return True

    async def revive(self) -> bool:
        """Starts the engine anew."""
        return await self._sampler.revive()
