"""The segmenter on a thread of the service itself, where Triton has no wheel. Imports torch."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Self

from inference.api.port import Unreachable
from inference.engine.errors import EngineError
from inference.engine.segmentation.engine import SegmentEngine
from inference.engine.segmentation.registry import Segmenters, default_device, loader
from inference.engine.segmentation.request import Segmentation, SegmentRequest


class SegmenterInProcess:
    """A segmenter of this process; it cannot be revived but by starting the process anew.

    Args:
        models: Folder with one folder per model.
    """

    def __init__(self, models: Path) -> None:
        self._models = models
        self._engine: SegmentEngine | None = None
        self._thread = threading.Thread(target=self._run, name="segmenter")
        self._closed = False

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closed = True
        if self._engine is not None:
            self._engine.close()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        self._engine = SegmentEngine(Segmenters.load(self._models, loader(default_device())))
        if not self._closed:
            self._engine.run()

    async def ready(self) -> bool:
        """Whether the models are loaded and the thread lives and goes on."""
        return self._engine is not None and self._thread.is_alive() and not self._engine.stalled

    async def revive(self) -> bool:
        """Does nothing: the engine shares our life."""
        return False

    async def segment(self, request: SegmentRequest) -> Segmentation:
        """Finds several concepts in one picture; cancelling it ends the work at its next step.

        Raises:
            EngineError: As the engine said it.
        """
        if self._engine is None:
            raise Unreachable("the models are loading")
        watcher = _Waiter(asyncio.get_running_loop())
        self._engine.submit(request, watcher)
        return await watcher.answer


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
