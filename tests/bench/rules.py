"""CPU time of rules per megapixel, beside the best composition of OpenCV's calls for the same.

The peer works on the same rectangle, with the same soft edge and the same protected region, in
bytes, on one thread. What it makes must look the same: the largest CIEDE2000 is printed beside.

Recolouring is measured against itself in double precision, not rounded to bytes, beside what that
rounding alone does. OpenCV's Lab in bytes is up to 2.7 from it, so that the peer that makes the
same picture works in floats; the other is there to be seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache, partial
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.engine.pictures.masks import Mask
from inference.engine.rules.apply import apply
from inference.engine.rules.chroma import shares
from inference.engine.rules.colour import ciede2000, from_hex, to_lab
from inference.engine.rules.document import Document, parse
from inference.engine.rules.effects import Tone
from tests.bench.record import Record
from tests.unit.inference import exact_recolour

SIDE_PX = 1_024
MEGAPIXELS = SIDE_PX * SIDE_PX / 1e6
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
ROUND_SECONDS = 0.1
OURS, PEER = "ours", "OpenCV's calls"
PEER_IN_FLOATS, PEER_IN_BYTES = "OpenCV's calls in floats", "OpenCV's calls in bytes"
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
        "tone": (TONE, _tone),
        "texture": ({"image": "tile"}, scene.texture),
        "replace": ({"colour": COLOUR}, _fill),
        "blur": ({"radius_px": RADIUS_PX}, _blur),
    }
    records = [one for strength in (1.0, 0.5) for one in _recoloured(scene, strength)]
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
    return [
        _time(name, mine, other, PEER),
        Record(f"rule: {name}, largest difference to its peer", apart.max(), "CIEDE2000"),
        Record(f"rule: {name}, 999 of 1,000 pixels within", np.quantile(apart, 0.999), "CIEDE2000"),
    ]


def _recoloured(scene: _Scene, strength: float) -> list[Record]:
    name = "recolour" if strength == 1 else f"recolour, strength {strength:g}"
    change = {"change": "recolour", "concept": "wall", "colour": COLOUR, "strength": strength}
    document = parse({"concepts": [{**change, "feather_px": FEATHER_PX}], "protect": ["sofa"]})
    makers: dict[str, Callable[[], Picture]] = {
        OURS: lambda: apply(scene.picture, document, scene.masks).pixels,
        PEER_IN_FLOATS: lambda: _composed(scene, partial(_recolour_in_floats, strength)),
        PEER_IN_BYTES: lambda: _composed(scene, partial(_recolour, strength)),
    }
    spent: dict[str, list[float]] = {maker: [] for maker in makers}
    for _ in range(ROUNDS):
        for maker, make in makers.items():
            spent[maker].append(_cpu_ms(make))
    share = strength / 255 * _weights(scene).astype(np.float64)
    exact = exact_recolour.recoloured(scene.picture, COLOUR, share)
    apart = {maker: exact_recolour.differences(make(), exact) for maker, make in makers.items()}
    apart["rounding alone"] = exact_recolour.of_rounding(exact)
    return [
        *(_time(name, spent[OURS], spent[peer], peer) for peer in (PEER_IN_FLOATS, PEER_IN_BYTES)),
        *(
            Record(f"rule: {name}, largest difference of {maker} to exact", each.max(), "CIEDE2000")
            for maker, each in apart.items()
        ),
    ]


def _time(name: str, mine: list[float], other: list[float], peer: str) -> Record:
    ratio = median(one / two for one, two in zip(mine, other, strict=True))
    each = median(mine) / MEGAPIXELS
    beside = "" if peer == PEER else f", beside {peer}"
    return Record(f"rule: {name}{beside}", each, "CPU-ms/MP", peer, ratio, median(mine) * 1e3)


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
    weights = _weights_within(scene)
    share = weights.astype(np.float32) * np.float32(1 / 255)
    if isinstance(peer, partial):
        painted = peer(patch, share)
    else:
        painted = cv2.blendLinear(peer(patch, weights), patch, share, 1 - share)
    cv2.copyTo(painted, weights, patch)
    return out


def _weights_within(scene: _Scene) -> Picture:
    """How much of a change is seen, within the box."""
    x, y, width, height = _box(scene.wall)
    free = cv2.bitwise_not(scene.sofa[y : y + height, x : x + width])
    area = cv2.bitwise_and(scene.wall[y : y + height, x : x + width], free)
    side = 2 * FEATHER_PX + 1
    return cv2.bitwise_and(cv2.blur(area, (side, side)), free)


def _weights(scene: _Scene) -> Picture:
    x, y, width, height = _box(scene.wall)
    whole = np.zeros_like(scene.wall)
    whole[y : y + height, x : x + width] = _weights_within(scene)
    return whole


@cache
def _chroma_table() -> NDArray[Any]:
    """a and b of the colour, float32 (1, 2551, 2), by tens of OpenCV's steps of L in bytes."""
    lab = to_lab(from_hex(COLOUR))
    lightness = np.linspace(0, 100, 2_551)
    return (shares(lightness, lab)[:, None] * lab[1:]).astype(np.float32)[None]


def _recolour(strength: float, patch: Picture, share: NDArray[Any]) -> Picture:
    """In Lab, mixing chroma only: a colour's, as far as it can be shown that light."""
    lightness, *old = cv2.split(cv2.cvtColor(patch, cv2.COLOR_RGB2Lab))
    chroma = np.rint(_chroma_table()[0, ::10] + 128).astype(np.uint8)
    share = share * np.float32(strength)
    planes = [
        cv2.blendLinear(cv2.LUT(lightness, chroma[:, at].copy()), old[at], share, 1 - share)
        for at in (0, 1)
    ]
    return cv2.cvtColor(cv2.merge([lightness, *planes]), cv2.COLOR_Lab2RGB)


def _recolour_in_floats(strength: float, patch: Picture, share: NDArray[Any]) -> Picture:
    """The same, of single precision until the end."""
    scaled = cv2.multiply(patch, (1, 1, 1, 1), scale=1 / 255, dtype=cv2.CV_32F)
    lightness, *old = cv2.split(cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab))
    places = cv2.multiply(lightness, 25.5)
    new = cv2.split(cv2.remap(_chroma_table(), places, np.zeros_like(places), cv2.INTER_LINEAR))
    share = share * np.float32(strength)
    planes = [
        cv2.blendLinear(end, start, share, 1 - share) for start, end in zip(old, new, strict=True)
    ]
    light = cv2.cvtColor(cv2.merge([lightness, *planes]), cv2.COLOR_Lab2RGB)
    return cv2.convertScaleAbs(light, alpha=255)


def _tone(patch: Picture, _: Picture) -> Picture:
    return cv2.transform(patch, Tone(**TONE).matrix)


def _fill(patch: Picture, _: Picture) -> Picture:
    return np.full_like(patch, from_hex(COLOUR))


def _blur(patch: Picture, weights: Picture) -> Picture:
    share = weights.astype(np.float32) * np.float32(1 / 255)
    light = cv2.multiply(patch, cv2.merge([share] * 3), dtype=cv2.CV_32F)
    light, share = (cv2.GaussianBlur(each, (0, 0), RADIUS_PX) for each in (light, share))
    return cv2.divide(light, cv2.merge([cv2.max(share, 1e-6)] * 3), dtype=cv2.CV_8U)
