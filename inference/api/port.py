"""What the service needs of an engine, wherever it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from inference.engine.errors import ModelFailed
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.status import ModelStatus


class Unreachable(ModelFailed):
    """The engine cannot be reached, has ended the call, or is still loading."""


class Sampler(Protocol):
    """An engine that takes rows."""

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every installed model is, by name; None: the engine does not answer."""

    async def revive(self) -> bool:
        """Breaks calls that nobody will answer and starts the engine anew.

        False: it could not be reached, so that it has to come back by itself.
        """

    def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        """Samples one row; leaving the iterator stops the sampler at its next step.

        Yields progress after each step and, at the end, the picture.

        Raises:
            EngineError: There is no picture; among them :class:`Unreachable`.
        """
