"""The segmenter behind Triton, as the service sees it."""

from __future__ import annotations

import asyncio
from typing import Self

import numpy as np
from tritonclient.grpc import InferInput

from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.status import ModelStatus
from inference.triton import segment_wire, wire
from inference.triton.connection import Connection, numbers, texts


class TritonSegmenter:
    """A client of the model ``segment`` of one Triton.

    Args:
        target: host:port of its gRPC.
    """

    def __init__(self, target: str) -> None:
        self._connection = Connection(target, segment_wire.MODEL)

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connection.__aexit__(*exc)

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every segmenter is, by the engine's own word; None: it does not answer."""
        answer = await self._connection.ping(_inputs(segment_wire.PING, b""))
        if answer is None:
            return None
        return wire.decode_statuses(answer.as_numpy(segment_wire.ANSWER).reshape(-1)[0])

    async def revive(self) -> bool:
        """Breaks the calls that nobody will answer and loads the model anew, where Triton lives."""
        return await self._connection.revive()

    async def segment(self, request: SegmentRequest) -> Segmentation:
        """Finds several concepts in one picture; cancelling it ends the work at its next step.

        Raises:
            EngineError: As the engine said it.
            Unreachable: Triton cannot be reached, or ended the call.
        """

        def inputs() -> list[InferInput]:
            return _inputs(segment_wire.encode_request(request), request.picture)

        found = await self._connection.first(inputs, request.timeout_seconds)
        answer = found.as_numpy(segment_wire.ANSWER).reshape(-1)[0]
        return await asyncio.to_thread(segment_wire.decode_answer, answer)


def _inputs(request: bytes, picture: bytes) -> list[InferInput]:
    # At least one byte: Triton takes no empty tensor for one that was given.
    file = np.frombuffer(picture or b"\0", np.uint8)
    return [texts(segment_wire.REQUEST, [request]), numbers(segment_wire.PICTURE, file)]
