"""The segmenter behind Triton, as the service sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, Self

import grpc
import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference.api.port import Unreachable
from inference.engine.errors import Canceled, EngineError
from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.triton import segment_wire, wire
from kit import telemetry

log = logging.getLogger(__name__)

QUEUE_SECONDS_MAX = 600.0
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


class TritonSegmenter:
    """A client of the model ``segment`` of one Triton; connects when first used.

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

    async def ready(self) -> bool:
        """Whether the model's process answers; Triton's own word is not enough."""
        stream = self._client.stream_infer(
            _once(segment_wire.PING, b""), stream_timeout=PING_SECONDS
        )
        try:
            async for _, error in stream:
                return error is None
        except grpc.aio.AioRpcError:
            pass
        finally:
            stream.cancel()
        return False

    async def revive(self) -> bool:
        """Breaks the calls that nobody will answer and loads the model anew, where Triton lives."""
        for stream in list(self._streams):
            self._streams.discard(stream)
            stream.cancel()
        model = segment_wire.MODEL
        try:
            loaded = await self._client.is_model_ready(model, client_timeout=ASK_SECONDS)
        except InferenceServerException:
            return False
        try:
            if loaded:
                await self._client.unload_model(model, client_timeout=UNLOAD_SECONDS)
            await self._client.load_model(model, client_timeout=LOAD_SECONDS)
        except InferenceServerException as error:
            log.warning("the segmenter could not be loaded anew", extra={"error": str(error)})
        return True

    async def segment(self, request: SegmentRequest) -> Segmentation:
        """Finds several concepts in one picture; cancelling it ends the work at its next step.

        Raises:
            EngineError: As the engine said it.
            Unreachable: Triton cannot be reached, or ended the call.
        """
        limit = QUEUE_SECONDS_MAX + request.timeout_seconds
        raw = segment_wire.encode_request(request)
        stream = self._client.stream_infer(_once(raw, request.picture), stream_timeout=limit)
        self._streams.add(stream)
        try:
            async for result, error in stream:
                if error is not None:
                    raise _refusal(error)
                answer = result.as_numpy(segment_wire.ANSWER).reshape(-1)[0]
                return await asyncio.to_thread(segment_wire.decode_answer, answer)
        except grpc.aio.AioRpcError as error:
            raise Unreachable(f"Triton: {error.code().name.lower()}") from error
        except asyncio.CancelledError:
            if stream in self._streams:
                raise  # by our caller
            raise Unreachable("the segmenter's process has died") from None
        finally:
            self._streams.discard(stream)
            stream.cancel()
        raise Unreachable("Triton ended the call without an answer")


async def _once(request: bytes, picture: bytes) -> AsyncIterator[dict[str, Any]]:
    asked = InferInput(segment_wire.REQUEST, [1], "BYTES")
    asked.set_data_from_numpy(np.array([request], np.object_))
    # At least one byte: Triton takes no empty tensor for one that was given.
    file = np.frombuffer(picture or b"\0", np.uint8)
    given = InferInput(segment_wire.PICTURE, [len(file)], "UINT8")
    given.set_data_from_numpy(file)
    yield {
        "model_name": segment_wire.MODEL,
        "inputs": [asked, given],
        "parameters": telemetry.carrier(),
    }


def _refusal(error: InferenceServerException) -> EngineError:
    refusal = wire.decode_error(error.message() or "")
    if refusal is None or isinstance(refusal, Canceled):
        return Unreachable(f"Triton: {error.message()}")
    return refusal
