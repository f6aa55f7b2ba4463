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
# Failures in a row of an engine that did its work before: it has lost its device.
FAULTS_MAX = 3


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
        self._has_worked, self._faults = False, 0
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
        if self._halted(self._engine):
            raise Unreachable("the engine has ended, or hangs")
        return self._engine

    def worked(self) -> None:
        """Hears that the engine has done what was asked of it."""
        self._has_worked, self._faults = True, 0

    def faulted(self) -> None:
        """Hears that the engine has failed at what it should be able to do."""
        self._faults += 1

    @property
    def lost(self) -> bool:
        """Whether only another process can help: the engine hangs, or does its work no more.

        Nothing else ends a thread, or gives back what it holds of the card. One that has never
        worked has the wrong settings or files, which another process would have too.
        """
        if self._has_worked and self._faults >= FAULTS_MAX:
            return True
        return self.making.stopped or (self._engine is not None and self._halted(self._engine))

    def _halted(self, engine: Engine) -> bool:
        return self._thread is None or not self._thread.is_alive() or engine.stalled

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
        """Makes the engine anew if that failed; ends this process if it is lost.

        Whoever started the process starts it anew.

        Returns:
            Whether whoever asks again and again should do so more seldom: it is made anew, or goes
            on and may do better.
        """
        if self._closed or not (self._opened.is_set() or self.making.stopped):
            return False
        if self._engine is None and not self.making.stopped:
            self.start()
            return True
        self.faulted()
        if not self.lost:
            return True
        log.critical("this process ends", extra={"engine": self._name, "faults": self._faults})
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
