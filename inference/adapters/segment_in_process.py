"""The segmenter on a thread of the service itself, where Triton has no wheel. Imports torch."""

from __future__ import annotations

import asyncio
from pathlib import Path

from inference.adapters.hosting import EngineThread
from inference.api.port import Unreachable
from inference.engine.device import default_device
from inference.engine.errors import EngineError
from inference.engine.segmentation.engine import SegmentEngine
from inference.engine.segmentation.registry import Segmenters, loader
from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.status import ModelStatus


class SegmenterInProcess(EngineThread[SegmentEngine]):
    """A segmenter of this process.

    Args:
        models: Folder with one folder per model.
    """

    def __init__(self, models: Path) -> None:
        super().__init__("segmenter", lambda: _open(models))

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every segmenter is; None while the engine is being made, has ended or hangs."""
        try:
            return self.alive().statuses()
        except Unreachable:
            return None

    async def segment(self, request: SegmentRequest) -> Segmentation:
        """Finds several concepts in one picture; cancelling it ends the work at its next step.

        Raises:
            EngineError: As the engine said it; Unreachable: it is loading, could not be made, has
                ended or hangs.
        """
        watcher = _Waiter(asyncio.get_running_loop())
        self.alive().submit(request, watcher)
        try:
            answer = await self.wait(watcher.answer)
        finally:
            watcher.answer.cancel()
        self.worked()
        return answer


def _open(models: Path) -> SegmentEngine:
    return SegmentEngine(Segmenters.load(models, loader(default_device())))


class _Waiter:
    """Carries what the engine's thread says into the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[Segmentation] = loop.create_future()
        self._loop = loop

    def cancelled(self) -> bool:
        return self.answer.cancelled()

    def finished(self, segmentation: Segmentation) -> None:
        self._loop.call_soon_threadsafe(self._give, segmentation)

    def failed(self, error: EngineError) -> None:
        self._loop.call_soon_threadsafe(self._give, error)

    def _give(self, said: Segmentation | EngineError) -> None:
        if self.answer.done():
            return
        if isinstance(said, EngineError):
            self.answer.set_exception(said)
        else:
            self.answer.set_result(said)
