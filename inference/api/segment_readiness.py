"""Whether segmenters can be used: one is ready when a real request has passed through it."""

from __future__ import annotations

import asyncio
import io
import logging
from pathlib import Path

from atelier.inference.v1.inference_pb2 import (
    MODEL_STATE_FAILED,
    MODEL_STATE_READY,
    MODEL_STATE_STARTING,
    Model,
    ModelState,
)
from PIL import Image

from inference.api import watching
from inference.api.gauges import Shown
from inference.api.segment_port import Segmenting
from inference.api.watching import Proof, Watch
from inference.engine.errors import EngineError, Overloaded
from inference.engine.segmentation.installed import find
from inference.engine.segmentation.request import SegmentRequest
from inference.engine.status import ModelStatus

log = logging.getLogger(__name__)


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
        self._told: dict[str, ModelStatus] = {}
        self._watch = Watch(self)
        self._shown = Shown()

    @property
    def installed(self) -> list[str]:
        """Their names."""
        return [path.name for path in find(self._models)]

    @property
    def states(self) -> dict[str, ModelState.ValueType]:
        """The state of every one, by name."""
        if self._watch.proof is Proof.FAILED:
            return dict.fromkeys(self.installed, MODEL_STATE_FAILED)
        return {name: self._states.get(name, MODEL_STATE_STARTING) for name in self.installed}

    @property
    def models(self) -> list[Model]:
        """How every one is, by name: its state by trials, the rest by the engine's own word."""
        return [self._model(name, state) for name, state in self.states.items()]

    def _model(self, name: str, state: ModelState.ValueType) -> Model:
        told = self._told.get(name, ModelStatus(""))
        return Model(
            name=name,
            state=state,
            rows=told.rows,
            size_bytes=told.size_bytes,
            failure=told.failure,
        )

    def doubt(self) -> None:
        """Has a real request sent, because one has just failed."""
        self._watch.doubt()

    async def run(self) -> None:
        """Watches until it is cancelled."""

        async def changed(ready: bool) -> None:
            if ready:
                log.info("segmenters are ready")
            else:
                log.warning("the segmenter is gone")

        await self._watch.run(changed)

    async def look(self) -> object | None:
        """Something new while the engine goes on, for one that stands still does not answer.

        Without any segmenter there is nothing to be looked at.
        """
        while not self.installed:  # noqa: ASYNC110  # folders tell nobody when they come
            await asyncio.sleep(watching.LOOK_SECONDS)
        told = await self._engine.models()
        self._told = told or {}
        self._shown.models(self.models, self._told)
        return None if told is None else object()

    async def passes(self) -> bool:
        """Tries every model; whether any is ready.

        The first by name, which requests that name none mean, is tried last: so it stays loaded
        where not all of them fit.
        """
        self._states = {name: await self._try(name) for name in reversed(self.installed)}
        return MODEL_STATE_READY in self._states.values()

    async def revive(self) -> bool:
        """Starts the engine anew."""
        return await self._engine.revive()

    async def _try(self, name: str) -> ModelState.ValueType:
        try:
            await self._engine.segment(SegmentRequest(_grey(), ("a trial",), name))
        except Overloaded:
            pass  # it is so ready that others are before us
        except EngineError as error:
            log.warning("a trial failed", extra={"model": name, "error": str(error)})
            return MODEL_STATE_FAILED
        return MODEL_STATE_READY


def _grey() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (128, 128, 128)).save(out, "PNG")
    return out.getvalue()
