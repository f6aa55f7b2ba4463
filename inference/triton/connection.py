"""One model behind Triton: its calls, and its revival when its process has died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, aclosing
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference.api.port import Unreachable
from inference.engine.errors import Canceled, EngineError, Overloaded
from inference.triton import wire
from kit import telemetry

log = logging.getLogger(__name__)

QUEUE_SECONDS_MAX = 600.0
LATE_SECONDS = 60.0  # when to come back after waiting for that long
ASK_SECONDS = 2.0
PING_SECONDS = 10.0
UNLOAD_SECONDS = 30.0
LOAD_SECONDS = 600.0
ANSWER_BYTES_MAX = 64 << 20
_CHANNEL = [
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


Inputs = Callable[[], Sequence[InferInput]]


class Connection:
    """Connects when first used, and again when Triton is back.

    Calls send their inputs one after the other and hold none of them once they are sent: of a
    picture's 50 MB there are three copies on their way: the client's, the message's and its bytes.

    Args:
        target: host:port of Triton's gRPC.
        model: The model's name there.
    """

    def __init__(self, target: str, model: str) -> None:
        self._target = target
        self._model = model
        self._streams: set[Any] = set()
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._client = InferenceServerClient(self._target, channel_args=_CHANNEL)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()

    async def ping(self, inputs: Sequence[InferInput]) -> Any | None:
        """Returns the model's first answer; None: its process does not answer.

        Triton's word is not enough: one whose model process was killed goes on to call the model
        ready.
        """
        message = self._once(lambda: inputs, ExitStack())
        stream = self._client.stream_infer(message, stream_timeout=PING_SECONDS)
        try:
            async for result, error in stream:
                return None if error is not None else result
        except grpc.aio.AioRpcError:
            pass
        finally:
            stream.cancel()
        return None

    async def ask(self, inputs: Inputs, timeout_seconds: float) -> AsyncGenerator[Any, None]:
        """Yields the model's answers; leaving the iterator ends the call.

        Args:
            inputs: Makes those of the model, when it is their turn to be sent.
            timeout_seconds: Of its work; the wait for its turn comes on top.

        Raises:
            EngineError: As the engine said it.
            Overloaded: Its turn did not come in time.
            Unreachable: Triton cannot be reached, or ended the call.
        """
        limit = QUEUE_SECONDS_MAX + timeout_seconds
        with ExitStack() as turn:
            await self._turn(turn)
            message = self._once(inputs, turn)
            stream = self._client.stream_infer(message, stream_timeout=limit)
            async with aclosing(self._answers(stream)) as answers:
                async for answer in answers:
                    yield answer

    async def _answers(self, stream: Any) -> AsyncGenerator[Any, None]:
        """What a stream says, as :meth:`ask` does."""
        self._streams.add(stream)
        try:
            async for result, error in stream:
                if error is not None:
                    raise _refusal(error)
                yield result
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                # Its turn did not come. An engine that hangs is found by its pings.
                raise _late() from error
            raise Unreachable(f"Triton: {error.code().name.lower()}") from error
        except asyncio.CancelledError:
            if stream in self._streams:
                raise  # by our caller
            raise Unreachable("the model's process has died") from None
        finally:
            self._streams.discard(stream)
            stream.cancel()
        raise Unreachable("Triton ended the call without an answer")

    async def first(self, inputs: Inputs, timeout_seconds: float) -> Any:
        """Returns the model's first answer.

        Raises:
            EngineError: As :meth:`ask` does.
        """
        async with aclosing(self.ask(inputs, timeout_seconds)) as answers:
            return await anext(answers)

    async def revive(self) -> bool:
        """Breaks the calls that nobody will answer and loads the model anew, where Triton lives.

        Triton restarts no model process, and calls that a dead one held stay open for ever.
        """
        for stream in list(self._streams):
            self._streams.discard(stream)
            stream.cancel()
        try:
            loaded = await self._client.is_model_ready(self._model, client_timeout=ASK_SECONDS)
        except InferenceServerException:
            return False
        try:
            if loaded:
                await self._client.unload_model(self._model, client_timeout=UNLOAD_SECONDS)
            await self._client.load_model(self._model, client_timeout=LOAD_SECONDS)
        except InferenceServerException as error:
            about = {"model": self._model, "error": str(error)}
            log.warning("the model could not be loaded anew", extra=about)
        return True

    async def _turn(self, turn: ExitStack) -> None:
        """Waits until nobody else sends; closing ``turn`` lets the next one send.

        Raises:
            Overloaded: Others sent for too long.
        """
        try:
            async with asyncio.timeout(QUEUE_SECONDS_MAX):
                await self._sending.acquire()
                turn.callback(self._sending.release)
        except TimeoutError as error:
            raise _late() from error

    async def _once(self, inputs: Inputs, turn: ExitStack) -> AsyncIterator[dict[str, Any]]:
        """The one message of a call; its turn is over when gRPC has sent it and asks for more."""
        carrier = telemetry.carrier()
        yield {"model_name": self._model, "inputs": list(inputs()), "parameters": carrier}
        turn.close()


def texts(name: str, parts: Sequence[bytes]) -> InferInput:
    """Makes an input of byte strings, shape (parts,)."""
    given = InferInput(name, [len(parts)], "BYTES")
    given.set_data_from_numpy(np.array(parts, np.object_))
    return given


def numbers(name: str, values: NDArray[np.uint8]) -> InferInput:
    """Makes an input of bytes, shape (values,)."""
    given = InferInput(name, [len(values)], "UINT8")
    given.set_data_from_numpy(values)
    return given


def _late() -> Overloaded:
    return Overloaded("others were before it for too long", retry_after_seconds=LATE_SECONDS)


def _refusal(error: InferenceServerException) -> EngineError:
    refusal = wire.decode_error(error.message() or "")
    if refusal is None or isinstance(refusal, Canceled):
        return Unreachable(f"Triton: {error.message()}")
    return refusal
