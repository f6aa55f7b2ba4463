"""The engine behind Triton, as the service sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Self

from tritonclient.grpc import InferInput

from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.status import ModelStatus
from inference.triton import wire
from inference.triton.connection import Connection, texts


class Triton:
    """A client of the model ``generate`` of one Triton.

    Args:
        target: host:port of its gRPC.
    """

    def __init__(self, target: str) -> None:
        self._connection = Connection(target, wire.MODEL)

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connection.__aexit__(*exc)

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every model is, by the engine's own word; None: it does not answer."""
        answer = await self._connection.ping([texts(wire.REQUEST, [wire.PING])])
        if answer is None:
            return None
        return wire.decode_statuses(answer.as_numpy(wire.EVENT).reshape(-1)[0])

    async def revive(self) -> bool:
        """Breaks the calls that nobody will answer and loads the model anew, where Triton lives."""
        return await self._connection.revive()

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        """Samples one row; leaving the iterator stops the sampler at its next step.

        Yields:
            Progress after each step; at the end, the picture.

        Raises:
            EngineError: As the engine said it.
            Unreachable: Triton cannot be reached, or ended the call.
        """

        def inputs() -> list[InferInput]:
            return [texts(wire.REQUEST, wire.encode_request(request))]

        async with aclosing(self._connection.ask(inputs, request.timeout_seconds)) as answers:
            async for answer in answers:
                event = _event(answer)
                yield event
                if isinstance(event, Picture):
                    return


def _event(answer: Any) -> Progress | Picture:
    said = wire.decode_event(answer.as_numpy(wire.EVENT).reshape(-1)[0])
    if isinstance(said, Progress):
        return said
    return Picture(pixels=answer.as_numpy(wire.IMAGE), **vars(said))
