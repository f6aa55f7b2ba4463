"""copy@1: advert copy."""

from __future__ import annotations

from typing import Any

from services.worker.nodes.run import Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Raises WriterFailed or ContentFiltered."""
    written = await node.tools.writer.advert_copy(
        values["text"], values["tone"], values["language"]
    )
    return {
        "headline": written.headline,
        "subline": written.subline,
        "copy": written.as_json(),
        "writer": written.writer,
    }
