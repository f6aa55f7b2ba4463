"""The engine on a thread of the service itself, where Triton has no wheel. Imports torch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from inference.adapters import hosting
from inference.adapters.hosting import EngineThread
from inference.api.port import Unreachable
from inference.engine.errors import EngineError
from inference.engine.opening import Options, open_engine
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.sampling.engine import Engine
from inference.engine.status import ModelStatus


class InProcess(EngineThread[Engine]):
    """An engine of this process.

    Args:
        options: Of the engine.
    """

    def __init__(self, options: Options) -> None:
        super().__init__("engine", lambda: open_engine(options, self.making))

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every model is; None while the engine is being made, has ended or hangs."""
        try:
            return self.alive().statuses()
        except Unreachable:
            return None

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        """Samples one row; leaving the iterator stops the sampler at its next step.

        Yields:
            Progress after each step; at the end, the picture.

        Raises:
            EngineError: As the engine said it; Unreachable: it could not be made, has ended or
                hangs.
        """
        watcher = _Mailbox(asyncio.get_running_loop())
        try:
            self.alive().submit(request, watcher)
            while True:
                event = await self._next(watcher)
                if isinstance(event, EngineError):
                    raise event
                if isinstance(event, Picture):
                    self.worked()
                yield event
                if isinstance(event, Picture):
                    return
        finally:
            watcher.left = True

    async def _next(self, watcher: _Mailbox) -> Progress | Picture | EngineError:
        """Waits for what the engine says, as long as it could say anything."""
        while True:
            try:
                return await asyncio.wait_for(watcher.box.get(), hosting.LOOK_SECONDS)
            except TimeoutError:
                if watcher.box.empty():
                    self.alive()


class _Mailbox:
    """Carries what the engine's thread says into the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.box: asyncio.Queue[Progress | Picture | EngineError] = asyncio.Queue()
        self.left = False
        self._loop = loop

    def cancelled(self) -> bool:
        return self.left

    def progress(self, progress: Progress) -> None:
        self._tell(progress)

    def finished(self, picture: Picture) -> None:
        self._tell(picture)

    def failed(self, error: EngineError) -> None:
        self._tell(error)

    def _tell(self, event: Progress | Picture | EngineError) -> None:
        if not self.left:
            self._loop.call_soon_threadsafe(self.box.put_nowait, event)
