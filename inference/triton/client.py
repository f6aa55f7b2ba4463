"""The engine behind Triton, as the service sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Self

import grpc
import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference.api.port import Unreachable
from inference.engine.errors import Canceled, EngineError
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.status import ModelStatus
from inference.triton import wire
from kit import telemetry

log = logging.getLogger(__name__)

QUEUE_SECONDS_MAX = 600.0
ASK_SECONDS = 2.0
PING_SECONDS = 10.0
UNLOAD_SECONDS = 30.0
LOAD_SECONDS = 600.0
PICTURE_BYTES_MAX = 64 << 20
_CHANNEL = [
    ("grpc.max_receive_message_length", PICTURE_BYTES_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


class Triton:
    """A client of one Triton; it connects when first used and again when Triton is back.

    Args:
        target: host:port of its gRPC.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._streams: set[Any] = set()

    async def __aenter__(self) -> Self:
        self._client = InferenceServerClient(self._target, channel_args=_CHANNEL)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every model is, by the engine's own word; None: it does not answer.

        Triton's word is not enough: one whose model process was killed goes on to call the model
        ready.
        """
        stream = self._client.stream_infer(_once([wire.PING]), stream_timeout=PING_SECONDS)
        try:
            async for result, error in stream:
                if error is not None:
                    return None
                return wire.decode_statuses(result.as_numpy(wire.EVENT).reshape(-1)[0])
        except grpc.aio.AioRpcError:
            pass
        finally:
            stream.cancel()
        return None

    async def revive(self) -> bool:
        """Breaks the calls that nobody will answer and loads the model anew, where Triton lives.

        Triton restarts no model process, and calls that a dead one held stay open for ever.
        """
        for stream in list(self._streams):
            self._streams.discard(stream)
            stream.cancel()
        try:
            loaded = await self._client.is_model_ready(wire.MODEL, client_timeout=ASK_SECONDS)
        except InferenceServerException:
            return False
        try:
            if loaded:
                await self._client.unload_model(wire.MODEL, client_timeout=UNLOAD_SECONDS)
            await self._client.load_model(wire.MODEL, client_timeout=LOAD_SECONDS)
        except InferenceServerException as error:
            log.warning("the model could not be loaded anew", extra={"error": str(error)})
        return True

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        """Samples one row; leaving the iterator stops the sampler at its next step.

        Yields:
            Progress after each step; at the end, the picture.

        Raises:
            EngineError: As the engine said it.
            Unreachable: Triton cannot be reached, or ended the call.
        """
        limit = QUEUE_SECONDS_MAX + request.timeout_seconds
        parts = wire.encode_request(request)
        stream = self._client.stream_infer(_once(parts), stream_timeout=limit)
        self._streams.add(stream)
        try:
            async for result, error in stream:
                if error is not None:
                    raise _refusal(error)
                event = _event(result)
                yield event
                if isinstance(event, Picture):
                    return
        except grpc.aio.AioRpcError as error:
            raise Unreachable(f"Triton: {error.code().name.lower()}") from error
        except asyncio.CancelledError:
            if stream in self._streams:
                raise  # by our caller
            raise Unreachable("the model's process has died") from None
        finally:
            self._streams.discard(stream)
            stream.cancel()
        raise Unreachable("Triton ended the call without a picture")


async def _once(parts: Sequence[bytes]) -> AsyncIterator[dict[str, Any]]:
    given = InferInput(wire.REQUEST, [len(parts)], "BYTES")
    given.set_data_from_numpy(np.array(parts, np.object_))
    yield {"model_name": wire.MODEL, "inputs": [given], "parameters": telemetry.carrier()}


def _event(result: Any) -> Progress | Picture:
    said = wire.decode_event(result.as_numpy(wire.EVENT).reshape(-1)[0])
    if isinstance(said, Progress):
        return said
    return Picture(pixels=result.as_numpy(wire.IMAGE), **vars(said))


def _refusal(error: InferenceServerException) -> EngineError:
    refusal = wire.decode_error(error.message() or "")
    if refusal is None or isinstance(refusal, Canceled):
        return Unreachable(f"Triton: {error.message()}")
    return refusal
