"""CPU time of rules per megapixel, beside the best composition of OpenCV's calls for the same.

The peer works on the same rectangle, with the same soft edge and the same protected region, in
bytes, on one thread. What it makes must look the same: the largest CIEDE2000 is printed beside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.engine.pictures.masks import Mask
from inference.engine.rules.apply import apply
from inference.engine.rules.colour import ciede2000, from_hex, ramp, to_lab
from inference.engine.rules.document import Document, parse
from inference.engine.rules.effects import Tone
from tests.bench.record import Record

SIDE_PX = 1_024
MEGAPIXELS = SIDE_PX * SIDE_PX / 1e6
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
ROUND_SECONDS = 0.1
PEER = "OpenCV's calls"
FEATHER_PX = 3
COLOUR = "#2f6fb0"
Picture = NDArray[np.uint8]
Peer = Callable[[Picture, Any], Picture]
TONE = {"temperature": 0.4, "saturation": 0.3, "brightness": 0.1, "contrast": 0.2}
RADIUS_PX = 12


async def bench() -> list[Record]:
    cv2.setNumThreads(1)
    scene = _Scene()
    changes: dict[str, tuple[dict[str, Any], Peer]] = {
        "recolour": ({"colour": COLOUR}, _recolour),
        "recolour, half strength": (
            {"change": "recolour", "colour": COLOUR, "strength": 0.5},
            _half_recolour,
        ),
        "tone": (TONE, _tone),
        "texture": ({"image": "tile"}, scene.texture),
        "replace": ({"colour": COLOUR}, _fill),
        "blur": ({"radius_px": RADIUS_PX}, _blur),
    }
    records = []
    for name, (settings, peer) in changes.items():
        change = {"change": name, "concept": "wall", "feather_px": FEATHER_PX, **settings}
        document = parse({"concepts": [change], "protect": ["sofa"]})
        records += _compared(name, scene, document, peer)
    return records


class _Scene:
    """Something like a photo, a wall that fills about half of it, and a sofa before the wall."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
        grain = rng.normal(0, 6, smooth.shape)
        self.picture = np.clip(smooth + grain, 0, 255).astype(np.uint8)
        self.wall = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        cv2.circle(self.wall, (512, 480), 400, 255, -1)
        self.sofa = np.zeros_like(self.wall)
        cv2.ellipse(self.sofa, (600, 640), (220, 120), 0, 0, 360, 255, -1)
        self.masks = {"wall": Mask.of(self.wall), "sofa": Mask.of(self.sofa)}
        self.tile = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)

    def texture(self, patch: Picture, weights: Picture) -> Picture:
        x, y, _, _ = _box(self.wall)
        rows, columns = self.tile.shape[:2]
        again = (-(-SIDE_PX // rows), -(-SIDE_PX // columns))
        laid = cv2.repeat(self.tile, *again)[y : y + patch.shape[0], x : x + patch.shape[1]]
        grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
        light = cv2.multiply(grey, 1, scale=1 / cv2.mean(grey, weights)[0], dtype=cv2.CV_32F)
        return cv2.multiply(laid, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def _compared(name: str, scene: _Scene, document: Document, peer: Peer) -> list[Record]:
    def ours() -> Picture:
        return apply(scene.picture, document, scene.masks, {"tile": scene.tile}).pixels

    def theirs() -> Picture:
        return _composed(scene, peer)

    mine, other = [], []
    for _ in range(ROUNDS):
        mine.append(_cpu_ms(ours))
        other.append(_cpu_ms(theirs))
    apart = ciede2000(to_lab(ours()).reshape(-1, 3), to_lab(theirs()).reshape(-1, 3))
    ratio = median(one / two for one, two in zip(mine, other, strict=True))
    each = median(mine) / MEGAPIXELS
    return [
        Record(f"rule: {name}", each, "CPU-ms/MP", PEER, ratio, median(mine) * 1e3),
        Record(f"rule: {name}, largest difference to its peer", apart.max(), "CIEDE2000"),
        Record(f"rule: {name}, 999 of 1,000 pixels within", np.quantile(apart, 0.999), "CIEDE2000"),
    ]


def _cpu_ms(work: Callable[[], object]) -> float:
    began, times = time.process_time(), 0
    while (spent := time.process_time() - began) < ROUND_SECONDS or not times:
        work()
        times += 1
    return spent / times * 1e3


def _box(wall: Picture) -> tuple[int, int, int, int]:
    x, y, width, height = cv2.boundingRect(wall)
    grown = FEATHER_PX
    return x - grown, y - grown, width + 2 * grown, height + 2 * grown


def _composed(scene: _Scene, peer: Peer) -> Picture:
    """What a careful programmer writes: on the box, in bytes, mixed by OpenCV."""
    x, y, width, height = _box(scene.wall)
    out = scene.picture.copy()
    patch = out[y : y + height, x : x + width]
    free = cv2.bitwise_not(scene.sofa[y : y + height, x : x + width])
    area = cv2.bitwise_and(scene.wall[y : y + height, x : x + width], free)
    side = 2 * FEATHER_PX + 1
    weights = cv2.bitwise_and(cv2.blur(area, (side, side)), free)
    share = weights.astype(np.float32) * np.float32(1 / 255)
    if peer in (_recolour, _half_recolour):
        painted = peer(patch, share)
    else:
        painted = cv2.blendLinear(peer(patch, weights), patch, share, 1 - share)
    cv2.copyTo(painted, weights, patch)
    return out


def _recolour(patch: Picture, share: NDArray[Any]) -> Picture:
    """In Lab, mixing chroma only: a colour's, as far as it can be shown that light."""
    lightness, *old = cv2.split(cv2.cvtColor(patch, cv2.COLOR_RGB2Lab))
    _, chroma = ramp(COLOUR)
    planes = [
        cv2.blendLinear(cv2.LUT(lightness, chroma[:, at].copy()), old[at], share, 1 - share)
        for at in (0, 1)
    ]
    return cv2.cvtColor(cv2.merge([lightness, *planes]), cv2.COLOR_Lab2RGB)


def _half_recolour(patch: Picture, share: NDArray[Any]) -> Picture:
    return _recolour(patch, share * np.float32(0.5))


def _tone(patch: Picture, _: Picture) -> Picture:
    return cv2.transform(patch, Tone(**TONE).matrix)


def _fill(patch: Picture, _: Picture) -> Picture:
    return np.full_like(patch, from_hex(COLOUR))


def _blur(patch: Picture, weights: Picture) -> Picture:
    share = weights.astype(np.float32) * np.float32(1 / 255)
    light = cv2.multiply(patch, cv2.merge([share] * 3), dtype=cv2.CV_32F)
    light, share = (cv2.GaussianBlur(each, (0, 0), RADIUS_PX) for each in (light, share))
    return cv2.divide(light, cv2.merge([cv2.max(share, 1e-6)] * 3), dtype=cv2.CV_8U)
