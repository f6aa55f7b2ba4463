"""What the service needs of a segmenter, wherever it runs."""

from __future__ import annotations

from typing import Protocol

from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.status import ModelStatus


class Segmenting(Protocol):
    """An engine that takes pictures and concepts."""

    async def models(self) -> dict[str, ModelStatus] | None:
        """How every installed segmenter is, by name; None: the engine does not answer."""

    async def revive(self) -> bool:
        """Breaks calls that nobody will answer and starts the engine anew.

        False: it could not be reached, so that it has to come back by itself.
        """

    async def segment(self, request: SegmentRequest) -> Segmentation:
        """Finds several concepts in one picture; cancelling it ends the work at its next step.

        Raises:
            EngineError: There is no answer; among them :class:`inference.api.port.Unreachable`.
        """
