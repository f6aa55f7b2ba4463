"""What the service needs of an engine, wherever it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from inference.engine.errors import ModelFailed
from inference.engine.request import ImageRequest, Picture, Progress


class Unreachable(ModelFailed):
    """The engine cannot be reached, has ended the call, or is still loading."""


class Sampler(Protocol):
    """An engine that takes rows."""

    async def ready(self) -> bool:
        """Whether it answers."""

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
