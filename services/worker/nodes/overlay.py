"""overlay@1: text over a picture."""

from __future__ import annotations

import asyncio
from typing import Any

from services.worker.media.overlay import lay
from services.worker.nodes.run import Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Raises nothing of its own: what does not fit is cut with an ellipsis."""
    picture = await node.picture(values["image"])
    overlaid = await asyncio.to_thread(
        lay,
        picture,
        values["headline"],
        values["subline"],
        values["position"],
        node.tools.faces,
    )
    return {"image": overlaid.picture}
