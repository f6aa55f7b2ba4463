"""encode@1: a picture becomes a file of a bounded size."""

from __future__ import annotations

import asyncio
from typing import Any

from services.worker.media.encoding import encode_jpeg, encode_png
from services.worker.nodes.run import FinishedFile, Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Raises InvalidArgument where the picture does not fit into ``bytes_max``."""
    picture = await node.picture(values["image"])
    bytes_max = values["bytes_max"]
    if values["format"] == "png":
        encoded = await asyncio.to_thread(encode_png, picture, bytes_max)
        return {"file": FinishedFile(encoded.data, encoded.content_type, "png", picture)}
    encoded = await asyncio.to_thread(encode_jpeg, picture, values["quality"], bytes_max)
    return {"file": FinishedFile(encoded.data, encoded.content_type, "jpg", picture)}
