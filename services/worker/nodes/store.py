"""store@1: a finished file goes to its final place, with a thumbnail where it is a picture."""

from __future__ import annotations

import asyncio
from typing import Any

from atelier.jobs.v1 import queue_pb2 as pb
from PIL import Image

from kit.blobs import Blobs, Stored
from services.worker.media.encoding import encode_thumbnail
from services.worker.media.pictures import thumbnail
from services.worker.nodes.run import FinishedFile, Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:
    """Writes both objects; ``delivery`` is a Delivery without its recipe."""
    file: FinishedFile = values["file"]
    item, blobs = node.item, node.tools.blobs
    # The token in the key: two attempts never write the same object.
    folder = f"works/{item.user_id}/{item.work_id}/{item.token}"
    key = f"{folder}/output.{file.extension}"
    if file.picture is None:
        stored = await blobs.put(key, file.data, file.content_type)
        return {"delivery": pb.Delivery(file=_artifact(stored, file.content_type, None))}
    stored, small = await asyncio.gather(
        blobs.put(key, file.data, file.content_type),
        _store_thumbnail(blobs, f"{folder}/thumbnail.jpg", file.picture),
    )
    made = _artifact(stored, file.content_type, file.picture)
    return {"delivery": pb.Delivery(file=made, thumbnail=small)}


async def _store_thumbnail(blobs: Blobs, key: str, picture: Image.Image) -> pb.Artifact:
    small = await asyncio.to_thread(thumbnail, picture)
    data = await asyncio.to_thread(encode_thumbnail, small)
    return _artifact(await blobs.put(key, data, "image/jpeg"), "image/jpeg", small)


def _artifact(stored: Stored, content_type: str, picture: Image.Image | None) -> pb.Artifact:
    return pb.Artifact(
        object_key=stored.key,
        content_type=content_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        width=picture.width if picture else 0,
        height=picture.height if picture else 0,
    )
