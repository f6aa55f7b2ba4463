"""An engine whose pictures are checked elsewhere before anybody sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.api.port import Sampler
from inference.engine.errors import ContentFiltered
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.safety.port import Verdict
from inference.engine.status import ModelStatus


class Judge(Protocol):
    """A check that takes its time."""

    async def judge(self, pixels: NDArray[np.uint8], prompt: str) -> Verdict:
        """As :meth:`inference.engine.safety.port.Check.judge`."""


class Checked:
    """A sampler like the one it wraps, but for pictures that the check refuses.

    There are no previews: nobody checks those.

    Args:
        sampler: The engine.
        judge: The check.
    """

    def __init__(self, sampler: Sampler, judge: Judge) -> None:
        self._sampler = sampler
        self._judge = judge

    async def models(self) -> dict[str, ModelStatus] | None:
        """As the engine says."""
        return await self._sampler.models()

    async def revive(self) -> bool:
        """As the engine does."""
        return await self._sampler.revive()

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        """Samples one row and has its picture judged.

        Raises:
            EngineError: As the engine said it; ContentFiltered and CheckFailed are the check's.
        """
        unseen = replace(request, previews=False)
        async with aclosing(self._sampler.sample(unseen)) as events:
            async for event in events:
                if isinstance(event, Progress):
                    yield event
                    continue
                verdict = await self._judge.judge(event.pixels, request.prompt)
                if not verdict.allowed:
                    flags = ", ".join(verdict.flags)
                    raise ContentFiltered(f"refused by the safety check: {flags}")
                yield replace(event, verdict=verdict)
