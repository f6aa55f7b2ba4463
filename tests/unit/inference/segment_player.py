"""A segmenter that tells what it was asked, watchers that keep what they hear; for the checks."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inference.engine.errors import EngineError
from inference.engine.segmentation.engine import SegmentEngine
from inference.engine.segmentation.registry import Installed, Segmenters, installed
from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.segmentation.segmenter import Answer, Embedding, Segmenter, Text
from tests.unit.inference import tiny_sam3

EMBEDDING_BYTES = 4 * tiny_sam3.WIDTH * (16 * 16 + 8 * 8)


class Spied(Segmenter):
    """A segmenter that tells what it was asked, and fails when told to."""

    embedded: list[int]
    read_words: list[str]
    asked: list[int]

    def reset(self) -> None:
        self.embedded, self.read_words, self.asked = [], [], []
        self.before: Callable[[int], None] = lambda _: None
        self.illegible = ""
        self.poisoned = -1  # of all pairs, counted
        self.pairs = 0

    def embed(self, pictures: Sequence[Any]) -> list[Embedding]:
        self.embedded.append(len(pictures))
        return super().embed(pictures)

    def read(self, phrases: Sequence[str]) -> list[Text]:
        self.read_words += phrases
        if self.illegible in phrases:
            raise ValueError("cannot be read")
        return super().read(phrases)

    def ask(self, pairs: Sequence[tuple[Embedding, Text]]) -> list[Answer]:
        self.asked.append(len(pairs))
        self.before(len(pairs))
        made = super().ask(pairs)
        at = self.poisoned - self.pairs
        self.pairs += len(pairs)
        if 0 <= at < len(made):
            old = made[at]
            made[at] = Answer(old.scores, old.masks * float("nan"), old.semantic, old.presence)
        return made


class Heard:
    """A watcher that keeps what it hears, and may leave."""

    def __init__(self, leaves: bool = False, raises: bool = False) -> None:
        self.said: list[Segmentation | EngineError] = []
        self.leaves = leaves
        self.raises = raises

    def cancelled(self) -> bool:
        if self.raises:
            raise ValueError("a watcher's own fault")
        return self.leaves

    def finished(self, segmentation: Segmentation) -> None:
        self.said.append(segmentation)

    def failed(self, error: EngineError) -> None:
        self.said.append(error)

    @property
    def outcome(self) -> str:
        (said,) = self.said
        return said.reason if isinstance(said, EngineError) else "MASKS"

    @property
    def answer(self) -> Segmentation:
        (said,) = self.said
        assert isinstance(said, Segmentation)
        return said

    @property
    def runs(self) -> list[Any]:
        return [
            [found.union.rle, *(each.mask.rle for each in found.instances)]
            for found in self.answer.found
        ]


def picture(seed: int, width: int = 48, height: int = 40) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def request(seed: int = 1, *concepts: str, **more: Any) -> SegmentRequest:
    return SegmentRequest(picture(seed), concepts or ("a red mug",), **more)


class Bench:
    """One model and as many engines as checks want."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        loaded = Segmenter.load(folder)
        loaded.__class__ = Spied
        assert isinstance(loaded, Spied)
        self.model = loaded
        self.now = 0.0

    def installed(self, bytes_max: int = 1 << 20) -> Installed:
        self.model.reset()
        return installed("tiny", self.model, bytes_max)

    def engine(self, bytes_max: int = 1 << 20, waiting_max: int = 64) -> SegmentEngine:
        self.now = 0.0
        models = Segmenters({"tiny": self.installed(bytes_max)})
        return SegmentEngine(models, waiting_max, clock=lambda: self.now)

    def run(self, engine: SegmentEngine, *asked: SegmentRequest) -> list[Heard]:
        heard = [Heard() for _ in asked]
        for one, watcher in zip(asked, heard, strict=True):
            engine.submit(one, watcher)
        while engine.step():
            self.now += 1
        return heard


def refused(engine: SegmentEngine, asked: SegmentRequest) -> dict[str, Any]:
    try:
        engine.submit(asked, Heard())
    except EngineError as error:
        return vars(error) | {"reason": error.reason, "message": str(error)}
    return {}


@contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
