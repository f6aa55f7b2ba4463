"""Times of the segmenter's parts, for ``segment``; runs in the environment that has torch.

The bundled model, or its architecture with random weights where none is bundled yet.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from inference.engine.errors import EngineError
from inference.engine.pictures import files as pictures
from inference.engine.segmentation.engine import SegmentEngine
from inference.engine.segmentation.registry import Segmenters, installed
from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.segmentation.segmenter import Segmenter
from inference.training.segmenter.model import build_segmenter
from tests.unit.inference.tiny import tokenizer

BUNDLED = Path("inference/bundled/sam3")
SIDE_PX = 512
ROUNDS = 15


class _Nobody:
    def __init__(self) -> None:
        self.error: EngineError | None = None

    def cancelled(self) -> bool:
        return False

    def finished(self, segmentation: Segmentation) -> None: ...

    def failed(self, error: EngineError) -> None:
        self.error = error  # the engine lets no watcher raise into its loop


def load() -> tuple[Segmenter, str]:
    if BUNDLED.is_dir():
        return Segmenter.load(BUNDLED), "bundled"
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        build_segmenter(tokenizer()).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        size = {"size": {"height": 128, "width": 128}}
        (Path(folder) / "preprocessor_config.json").write_text(json.dumps(size))
        return Segmenter.load(Path(folder)), "random weights"


def picture(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    large = Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    large.save(out, "PNG", compress_level=1)
    return out.getvalue()


class Measured:
    """One segmenter, asked for something new each time."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._engine = SegmentEngine(Segmenters({"sam3": installed("sam3", segmenter)}))
        self._numbers = itertools.count()

    def round(self, seed: int) -> dict[str, float]:
        """Seconds of each part, on a picture that was never seen."""
        file = picture(seed)
        pixels = pictures.decode(file).pixels
        first, second = (_seconds(lambda: self._ask(file)) for _ in range(2))
        encoder = _seconds(lambda: self._segmenter.embed([pixels]))
        (seen,) = self._segmenter.embed([pixels])
        few = [(seen, text) for text in self._segmenter.read([self._word() for _ in range(8)])]
        return {
            "first": first,
            "second": second,
            "encoder": encoder,
            "floor": _seconds(
                lambda: self._segmenter.ask([(seen, *self._segmenter.read([self._word()]))])
            ),
            "batch": _seconds(lambda: self._segmenter.ask(few)) / len(few),
        }

    def together(self, seed: int, count: int) -> float:
        """Seconds of each of several pictures that were never seen, asked at once."""
        files = [picture(1_000 + count * seed + number) for number in range(count)]
        return _seconds(lambda: self._ask(*files)) / count

    def _word(self) -> str:
        return f"thing {next(self._numbers)}"

    def _ask(self, *files: bytes) -> None:
        nobody = _Nobody()
        for file in files:
            self._engine.submit(SegmentRequest(file, (self._word(),), score_min=0.0), nobody)
        while self._engine.step():
            pass
        if nobody.error:
            raise nobody.error


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(1)
    segmenter, weights = load()
    measured = Measured(segmenter)
    measured.round(0)  # warm-up
    rounds = [measured.round(seed) for seed in range(1, ROUNDS + 1)]
    middle = {name: median(each[name] for each in rounds) for name in rounds[0]}
    json.dump(middle | {"weights": weights}, sys.stdout)


if __name__ == "__main__":
    main()
