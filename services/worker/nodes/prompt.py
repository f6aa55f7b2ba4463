"""prompt@1: plain text becomes a prompt for the image model."""

from __future__ import annotations

from typing import Any

from services.worker.nodes.run import Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Raises WriterFailed or ContentFiltered."""
    written = await node.tools.writer.image_prompt(values["text"], values["style"])
    return {
        "prompt": written.prompt,
        "negative_prompt": written.negative_prompt,
        "dropped": list(written.dropped),
        "writer": written.writer,
    }
