"""An engine on a thread of its own, and what the rest of the process may know of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from inference.api.port import Unreachable
from inference.engine.loop import LOAD_SECONDS_MAX, Pulse, Runs

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
JOIN_SECONDS, EXIT_SECONDS = 10.0, 60.0


Engine = TypeVar("Engine", bound=Runs)
Said = TypeVar("Said")


class EngineThread(Generic[Engine]):
    """Makes an engine and runs it.

    Args:
        name: Of the thread.
        make: Makes the engine, which may take minutes.

    Attributes:
        making: Beaten by ``make`` between its parts, each of which may take as long as a load.
    """

    def __init__(self, name: str, make: Callable[[], Engine]) -> None:
        self._name = name
        self._make = make
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._opened = threading.Event()
        self._failure = ""
        self._closed = False
        self.making = Pulse()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.to_thread(self.close)

    def start(self) -> None:
        """Begins to make the engine, unless it is made or being made."""
        if self._thread is not None and (self._engine is not None or self._thread.is_alive()):
            return
        self._opened.clear()
        self.making.beat(LOAD_SECONDS_MAX)
        # One that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the engine after the step at hand; what is left fails."""
        self._closed = True
        if self._engine is not None:
            self._engine.close()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)

    async def opened(self) -> Engine:
        """Waits until the engine is made.

        Raises:
            Unreachable: It could not be made, or its making hangs.
        """
        while not (self.making.stopped or await asyncio.to_thread(self._opened.wait, LOOK_SECONDS)):
            pass
        return self.alive()

    def alive(self) -> Engine:
        """Returns the engine, if it goes on.

        Raises:
            Unreachable: It does not, or not yet.
        """
        if self.making.stopped:
            raise Unreachable("a model's load hangs")
        if self._engine is None:
            raise Unreachable(self._failure or "the models are loading")
        if self._thread is None or not self._thread.is_alive() or self._engine.stalled:
            raise Unreachable("the engine has ended, or hangs")
        return self._engine

    async def wait(self, said: asyncio.Future[Said]) -> Said:
        """Waits for what the engine will say, as long as it could say anything.

        Raises:
            Unreachable: The engine has ended, or hangs.
        """
        while True:
            await asyncio.wait({said}, timeout=LOOK_SECONDS)
            if said.done():
                return said.result()
            self.alive()

    async def revive(self) -> bool:
        """Makes the engine anew if that failed; ends this process if it or its making hangs.

        True: it is made anew, so that whoever asks again and again should do so more seldom.

        Nothing else ends a thread, or gives back what it holds of the card. Whoever started the
        process starts it anew.
        """
        if self._closed or not (self._opened.is_set() or self.making.stopped):
            return False
        if self._engine is None and not self.making.stopped:
            self.start()
            return True
        try:
            self.alive()
        except Unreachable as error:
            log.critical("this process ends", extra={"error": str(error), "engine": self._name})
            end = threading.Timer(EXIT_SECONDS, os._exit, (1,))  # where the driver hangs too
            end.daemon = True
            end.start()
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    def _run(self) -> None:
        try:
            self._engine = self._make()
        except Exception as error:
            log.exception("the engine could not be made", extra={"engine": self._name})
            self._failure = f"the engine could not be made: {error}"
        finally:
            self.making.rest()
            self._opened.set()
        if self._engine is not None and not self._closed:
            self._engine.run()
