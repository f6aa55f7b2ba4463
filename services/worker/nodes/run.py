"""What a node is given to run with, and the values that travel between nodes in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.jobs.v1 import queue_pb2 as pb
from PIL import Image

from kit.blobs import Blobs
from services.worker.artist import Artist
from services.worker.chains.writer import Writer
from services.worker.media.overlay import Faces
from services.worker.media.pictures import open_picture

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Tools:
    """What nodes work with; the same for every item.

    Attributes:
        writer: Writes prompts and copy.
        artist: Draws.
        blobs: Object storage.
        faces: Fonts.
    """

    writer: Writer
    artist: Artist
    blobs: Blobs
    faces: Faces


@dataclass(frozen=True)
class Run:
    """One run of one node.

    Attributes:
        tools: What it works with.
        item: For whom.
        content_hash: Of the node, in hex.
        timeout_seconds: After which it is ended.
        advance: Told how much of the node is done (0 to 1), with a JPEG preview or none.
        write: Told what the node writes, piece by piece.
    """

    tools: Tools
    item: pb.ClaimedItem
    content_hash: str
    timeout_seconds: float
    advance: Callable[[float, bytes], None]
    write: Callable[[str], None]

    async def picture(self, image: str | Image.Image) -> Image.Image:
        """Returns an image port's value as a picture: it may be an object's key.

        Raises:
            OSError: The object is no picture.
        """
        if isinstance(image, Image.Image):
            return image
        return await asyncio.to_thread(open_picture, await self.tools.blobs.get(image))


@dataclass(frozen=True)
class FinishedFile:
    """A file port's value.

    Attributes:
        data: The bytes.
        content_type: Their MIME type.
        extension: Of the file's name, without the dot.
        picture: What they show, or None.
    """

    data: bytes
    content_type: str
    extension: str
    picture: Image.Image | None = None


# Takes every port of the spec and returns every output of it.
Implementation = Callable[[Values, Run], Awaitable[dict[str, Any]]]
