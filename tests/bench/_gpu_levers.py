"""What would make a picture cheaper: each lever alone and all together, on our engine.

FP8, compiled graphs, those tuned by trying kernels out, no guidance for the last share of the
steps, the prediction of a step taken for the next one too, or only its deepest features. What a
lever changes is seen on pictures of the bundled model, which has learned something: the mean
difference of their bytes from those that are drawn without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from inference.engine.models.model import Model
from inference.engine.models.row import Conditions, Row
from inference.engine.request import Picture
from inference.engine.sampling.profile import measure
from inference.engine.sampling.registry import Installed
from tests.bench import _gpu_float8
from tests.bench._gpu_features import Predict, with_feature_cache
from tests.bench._gpu_serving import engine, with_unet
from tests.bench._gpu_setting import (
    BUNDLED,
    NAME,
    Denoiser,
    Setting,
    compiled,
    request,
    synchronize,
)
from tests.bench._sampling import Arrived, wait
from tests.bench.record import Record

CUT_SHARE = 0.4  # of the steps, the last ones, without guidance
CACHED_FROM, CACHED_TO = 0.25, 0.75  # between these shares every other step is not asked for
AS_IT_IS = "as it is"
MATMULS = 20
# Without CUDA graphs: torch keeps those by the thread that made them, and each engine has its own.
TUNED = "max-autotune-no-cudagraphs"
Lever = Callable[[Predict], Predict]


@dataclass(frozen=True)
class Variant:
    """The UNet that is called, what stands before it, and whether it is compiled."""

    unet: Any
    levers: tuple[Lever, ...] = ()
    is_compiled: bool = False


def without_late_guidance(predict: Predict) -> Predict:
    """Leaves the lane of the negative prompt out of the last steps."""

    def cut(rows: Sequence[Row]) -> list[torch.Tensor]:
        for row in rows:
            said = row.conditions
            if said.lanes == 2 and row.index >= (1 - CUT_SHARE) * row.schedule.count:
                row.conditions = Conditions(said.tokens[1:], said.pooled[1:], said.sizes[1:])
        return predict(rows)

    return cut


def with_step_cache(predict: Predict) -> Predict:
    """Takes a prediction for the step after its own too, in the middle of the way."""
    last: WeakKeyDictionary[Row, torch.Tensor] = WeakKeyDictionary()

    def cached(rows: Sequence[Row]) -> list[torch.Tensor]:
        fresh = [row for row in rows if not _spared(row)]
        if fresh:
            last.update(zip(fresh, predict(fresh), strict=True))
        return [last[row] for row in rows]

    return cached


def _spared(row: Row) -> bool:
    share = row.index / row.schedule.count
    return row.index % 2 == 1 and CACHED_FROM <= share < CACHED_TO


def part(setting: Setting, folder: Path) -> Iterator[Record | str]:
    """Pictures one at a time and several at once; then what the levers change."""
    setting.save_sdxl(folder / NAME)
    yield from _speeds(setting, folder / NAME)
    bundled = folder / NAME if setting.is_dry else BUNDLED / NAME
    yield from _changes(setting, bundled)


def _variants(model: Model, setting: Setting) -> dict[str, Variant]:
    own = Denoiser.of(model).own
    fast = compiled(own, setting)
    tuned = compiled(own, setting, is_off=setting.is_dry, mode=TUNED)
    both: tuple[Lever, ...] = (without_late_guidance, with_step_cache)
    found = {
        AS_IT_IS: Variant(own),
        "compiled": Variant(fast, is_compiled=True),
        TUNED: Variant(tuned, is_compiled=True),
        f"no guidance for the last {CUT_SHARE:.0%}": Variant(own, both[:1]),
        "every other step of the middle half cached": Variant(own, both[1:]),
        "features of the depths cached for as many": Variant(
            own, (with_feature_cache(own, _spared),)
        ),
        "cut and cached": Variant(own, both),
        "compiled, cut and cached": Variant(fast, both, is_compiled=True),
    }
    if not _gpu_float8.why_not(setting.device):
        float8 = _gpu_float8.in_float8(own)
        fast8 = compiled(float8, setting, is_off=setting.is_dry)
        found |= {
            "FP8": Variant(float8),
            "FP8 and compiled": Variant(fast8, is_compiled=True),
            "all of it": Variant(fast8, both, is_compiled=True),
        }
    return found


@contextmanager
def using(model: Model, variant: Variant) -> Iterator[None]:
    """A variant in the model's place."""
    predict: Predict = model.predict
    for lever in variant.levers:
        predict = lever(predict)
    model.predict = predict
    try:
        with with_unet(Denoiser.of(model), variant.unet):
            yield
    finally:
        del model.predict


def _speeds(setting: Setting, folder: Path) -> Iterator[Record | str]:
    model = Model(NAME, folder, setting.device)
    installed = Installed(model, measure(model))
    variants = _variants(model, setting)
    rates: dict[tuple[str, int], list[float]] = {
        (name, count): [] for name in variants for count in setting.bursts
    }
    for turn in range(setting.rounds + 1):
        for (name, count), seen in rates.items():
            began = time.perf_counter()
            draw(folder.parent, installed, variants[name], setting, count)
            if turn:  # the first one compiles and warms up
                seen.append(count / (time.perf_counter() - began))
    for (name, count), own in rates.items():
        plain = rates[AS_IT_IS, count]
        ratio = median(mine / other for mine, other in zip(own, plain, strict=True))
        title = f"gpu: {_asked(model, setting)}, {count} at once: {name}"
        yield Record(title, median(own), "pictures/s", AS_IT_IS, ratio)
    if why := _gpu_float8.why_not(setting.device):
        yield f"gpu: FP8: NOT measured: {why}"
    yield from _shares(model, setting, {name: median(own) for name, own in rates.items()})


def _asked(model: Model, setting: Setting) -> str:
    return f"{model.base_px} px, {setting.steps[-1]} steps"


def draw(
    root: Path,
    installed: Installed,
    variant: Variant,
    setting: Setting,
    count: int,
    steps: int = 0,
) -> list[Picture]:
    """Pictures that are asked for at once; 0 steps: as many as the setting's last."""
    ended = [_Kept() for _ in range(count)]
    with using(installed.model, variant), engine(root, installed) as submit:
        for number, one in enumerate(ended):
            submit(request(number, steps or setting.steps[-1]), one)
        return [one.picture() for one in ended]


def _shares(
    model: Model, setting: Setting, rates: dict[tuple[str, int], float]
) -> Iterator[Record]:
    """How much of what the card can multiply is used by pictures, their decoding counted in."""
    card = _matmul_rate(setting)
    yield Record("gpu: matrices in bf16", card / 1e12, "TFLOP/s")
    steps, burst = setting.steps[-1], setting.bursts[-1]
    row = model.row(request(0, steps), _Kept(), 0.0)
    with FlopCounterMode(display=False) as counter:
        model.predict([row])
    of_picture = counter.get_total_flops() * steps
    for name in (AS_IT_IS, "compiled"):
        used = of_picture * rates[name, burst]
        title = f"gpu: {_asked(model, setting)}, {burst} at once: {name}: denoiser"
        yield Record(title, used / 1e12, "TFLOP/s", "matrices in bf16", used / card)


def _matmul_rate(setting: Setting) -> float:
    """Operations a second of square matrices, the best of the rounds."""
    side, best = setting.matmul_side, 0.0
    one, other = (
        torch.randn(side, side, device=setting.device, dtype=torch.bfloat16) for _ in range(2)
    )
    for _ in range(setting.rounds + 1):
        synchronize(setting.device)
        began = time.perf_counter()
        for _ in range(MATMULS):
            one @ other
        synchronize(setting.device)
        best = max(best, 2 * side**3 * MATMULS / (time.perf_counter() - began))
    return best


def _changes(setting: Setting, folder: Path) -> Iterator[Record]:
    model = Model(NAME, folder, setting.device)
    installed = Installed(model, measure(model))
    variants = _variants(model, setting)
    plain = draw(folder.parent, installed, variants[AS_IT_IS], setting, setting.seen)
    for name, variant in variants.items():
        if variant.is_compiled:
            continue  # the same numbers, but for their rounding
        drawn = draw(folder.parent, installed, variant, setting, setting.seen)
        pairs = zip(drawn, plain, strict=True)
        apart = [np.abs(a.pixels.astype(int) - b.pixels.astype(int)).mean() for a, b in pairs]
        what = "nothing" if name == AS_IT_IS else name
        yield Record(f"gpu: bundled model, changed by: {what}", float(np.mean(apart)), "of 255")


class _Kept(Arrived):
    """Somebody who keeps the picture."""

    def __init__(self) -> None:
        super().__init__(threading.Semaphore(0))
        self._picture: Picture | None = None

    def finished(self, picture: Picture) -> None:
        self._picture = picture
        super().finished(picture)

    def picture(self) -> Picture:
        """Waits for it."""
        wait(self._ended)
        self.seconds_or_raise()
        assert self._picture
        return self._picture
