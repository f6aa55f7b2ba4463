"""One phrase through the loop that serves, stepped by hand; needs all that the engine needs."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.engine.errors import EngineError
from inference.engine.segmentation.engine import SegmentEngine
from inference.engine.segmentation.registry import Segmenters, installed
from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.segmentation.segmenter import Segmenter


def asking(segmenter: Segmenter, phrase: str) -> Callable[[bytes], None]:
    """What asks for the phrase on a picture's file, and returns when the masks are packed."""
    engine = SegmentEngine(Segmenters({"sam3": installed("sam3", segmenter)}))

    def ask(file: bytes) -> None:
        nobody = _Nobody()
        engine.submit(SegmentRequest(file, (phrase,)), nobody)
        while engine.step():
            pass
        if nobody.error:
            raise nobody.error

    return ask


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


class _Nobody:
    """Waits for masks and looks at none."""

    def __init__(self) -> None:
        self.error: EngineError | None = None

    def cancelled(self) -> bool:
        """Never."""
        return False

    def finished(self, segmentation: Segmentation) -> None:
        """Takes no notice."""

    def failed(self, error: EngineError) -> None:
        """Keeps what went wrong: the engine lets no watcher raise into its loop."""
        self.error = error
