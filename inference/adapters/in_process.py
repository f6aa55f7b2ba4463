"""The engine on a thread of the service itself, where Triton has no wheel. Imports torch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Self

from inference.api.port import Unreachable
from inference.engine.errors import EngineError
from inference.engine.opening import Options, open_engine
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.sampling.engine import Engine
from inference.engine.status import ModelStatus


class InProcess:
    """An engine of this process; it cannot be revived but by starting the process anew.

    Args:
        options: Of the engine.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._engine: Engine | None = None
        self._thread = threading.Thread(target=self._run, name="engine")
        self._opened = threading.Event()
        self._closed = False

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self.close)

    def start(self) -> None:
        """Begins to load the default model."""
        self._thread.start()

    def close(self) -> None:
        """Ends the engine after the step at hand; rows that are left fail."""
        self._closed = True
        if self._engine is not None:
            self._engine.close()
        self._thread.join()

    async def opened(self) -> None:
        """Waits until the default model is loaded, or the engine could not be made."""
        await asyncio.to_thread(self._opened.wait)

    def _run(self) -> None:
        try:
            self._engine = open_engine(self._options)
        finally:
            self._opened.set()
        if not self._closed:
            self._engine.run()

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every model is; None while the engine is being made, or when its thread has ended."""
        if self._engine is None or not self._thread.is_alive():
            return None
        return self._engine.statuses()

    async def revive(self) -> bool:
        """Does nothing: the engine shares our life."""
        return False

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        """Samples one row; leaving the iterator stops the sampler at its next step.

        Yields:
            Progress after each step; at the end, the picture.

        Raises:
            EngineError: As the engine said it.
        """
        if self._engine is None:
            raise Unreachable("the models are loading")
        watcher = _Mailbox(asyncio.get_running_loop())
        try:
            self._engine.submit(request, watcher)
            while True:
                event = await watcher.box.get()
                if isinstance(event, EngineError):
                    raise event
                yield event
                if isinstance(event, Picture):
                    return
        finally:
            watcher.left = True


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
