"""The engine on a thread of the service itself, where Triton has no wheel. Imports torch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Self

from inference.api.port import Unreachable
from inference.engine.engine import Engine
from inference.engine.errors import EngineError
from inference.engine.model import default_device
from inference.engine.registry import Registry
from inference.engine.request import ImageRequest, Picture, Progress


class InProcess:
    """An engine of this process; it cannot be revived but by starting the process anew.

    Args:
        models: Folder with one folder per model.
        default_model: The model of requests that name none.
    """

    def __init__(self, models: Path, default_model: str) -> None:
        self._models = models
        self._default_model = default_model
        self._engine: Engine | None = None
        self._thread = threading.Thread(target=self._run, name="engine")
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
        registry = Registry.load(self._models, self._default_model, default_device())
        self._engine = Engine(registry)
        if not self._closed:
            self._engine.run()

    async def ready(self) -> bool:
        """Whether the models are loaded and the thread lives."""
        return self._engine is not None and self._thread.is_alive()

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
