"""SAM3: the first prompt on a picture, the second, one among eight; several pictures at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from inference.engine.segmentation.segmenter import Segmenter
from tests.bench._gpu_setting import Setting
from tests.bench._segment import Measured
from tests.bench.record import Record

PICTURES = 4


def part(setting: Setting, folder: Path) -> Iterator[Record]:
    """Times of the parts, and of pictures that come together."""
    setting.save_sam3(folder)
    measured = Measured(Segmenter.load(folder, setting.device))
    measured.round(0)
    measured.together(-1, PICTURES)
    rounds = [
        measured.round(seed) | {"together": measured.together(seed, PICTURES)}
        for seed in range(1, 5 * setting.rounds + 1)
    ]
    middle = {name: median(each[name] for each in rounds) for name in rounds[0]}
    first = middle.pop("first")
    yield Record("gpu: SAM3: first prompt on a picture", first * 1e3, "ms")
    for name, seconds in middle.items():
        title = f"gpu: SAM3: {_TITLES[name]}"
        yield Record(title, seconds * 1e3, "ms", "the first prompt", seconds / first)


_TITLES = {
    "second": "second prompt on it",
    "floor": "floor, new words and decoder",
    "encoder": "encoder",
    "batch": "a prompt among eight, decoder",
    "together": f"first prompt on one of {PICTURES} pictures at once",
}
