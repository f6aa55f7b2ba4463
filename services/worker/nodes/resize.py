"""resize@1: crop to the aspect, scale by Lanczos."""

from __future__ import annotations

import asyncio
from typing import Any

from services.worker.media.pictures import fit
from services.worker.nodes.run import Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Raises InvalidArgument where the long side is out of range."""
    picture = await node.picture(values["image"])
    return {"image": await asyncio.to_thread(fit, picture, values["aspect"], values["long_side"])}
