"""The engine on a thread of the service itself, where Triton has no wheel. Imports torch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Self

from inference.adapters import hosting
from inference.adapters.hosting import EngineThread
from inference.api.port import Unreachable
from inference.engine.errors import EngineError
from inference.engine.opening import Options, open_engine
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.status import ModelStatus


class InProcess:
    """An engine of this process.

    Args:
        options: Of the engine.
    """

    def __init__(self, options: Options) -> None:
        self._thread = EngineThread("engine", lambda: open_engine(options))

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self.close)

    def start(self) -> None:
        """Begins to load the default model, unless it is loaded or being loaded."""
        self._thread.start()

    def close(self) -> None:
        """Ends the engine after the step at hand; rows that are left fail."""
        self._thread.close()

    async def opened(self) -> None:
        """Waits until the default model is loaded, or could not be.

        Raises:
            Unreachable: The engine could not be made.
        """
        await self._thread.opened()

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every model is; None while the engine is being made, has ended or hangs."""
        try:
            return self._thread.alive().statuses()
        except Unreachable:
            return None

    async def revive(self) -> bool:
        """Makes the engine anew if that failed; ends this process if it has ended or hangs."""
        return self._thread.revive()

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
            self._thread.alive().submit(request, watcher)
            while True:
                event = await self._next(watcher)
                if isinstance(event, EngineError):
                    raise event
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
                    self._thread.alive()


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
