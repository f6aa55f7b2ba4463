"""Stage `evaluate`: does the segmenter find what is named, and only that, on scenes of its own.

Everything goes through the exported folder and `Sam3Model` as transformers has it. The scenes of
`GATE` are drawn for this and used for nothing else; choices were made on those of `glances`.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from inference.training.gates import Gate, save_gates, table
from inference.training.runs import Run
from inference.training.segmenter.export import TARGET, write_bundle
from inference.training.segmenter.measuring import Tally, measure
from inference.training.segmenter.processor import Segmenter
from inference.training.segmenter.questions import (
    LANGUAGES,
    held_out_scenes,
    kin_questions,
    object_questions,
    questions,
    scenes,
)
from inference.training.segmenter.scenes import SIDE_PX
from inference.training.world.shelves import ShelfPlan

STAGE = "evaluate"
GATE_SEED = 20270131
SCENES, KIN_SCENES = 480, 300
LATENCY_THREADS, LATENCY_REPEATS, LATENCY_SECONDS_MAX = 2, 15, 0.2
PHRASE = "red vase"


def evaluate(run: Run) -> None:
    """Exports the latest weights, scores them on the gate's scenes, prints and saves the table."""
    write_bundle(run)
    gates = score(Segmenter.load(TARGET), GATE_SEED)
    save_gates(run.stage(STAGE) / "gates.json", gates)
    print(table(gates), flush=True)
    run.mark_done(STAGE, f"{sum(g.is_met is False for g in gates)} gates not met")


def score(segmenter: Segmenter, seed: int, share: float = 1.0) -> list[Gate]:
    """All gates on the scenes of `seed`; `share` of the scenes for a quick look."""
    tally = Tally()
    sizes = ((SIDE_PX, SIDE_PX),)
    even = ShelfPlan("even", round(SCENES * share), seed, sizes, (0.25,) * 4)
    rng = np.random.default_rng([seed, 1])
    for shown in scenes(even):
        measure(segmenter, shown, list(questions(shown, rng)), tally)
    kin = replace(even, scenes=round(KIN_SCENES * share), seed=seed + 1, kinship=1.0)
    kin = replace(kin, counts=(0.0, 0.3, 0.35, 0.35))
    for shown in scenes(kin):
        measure(segmenter, shown, list(kin_questions(shown)), tally)
    for shown in held_out_scenes(np.random.default_rng([seed, 2])):
        measure(segmenter, shown, list(object_questions(shown, "held out")), tally)
    return [*_gates(tally), *_latency(segmenter, even)]


def _gates(tally: Tally) -> list[Gate]:
    def both(*names: str) -> list[str]:
        return [f"{name} {language}" for name in names for language in LANGUAGES]

    few, many = ("object1", "object2"), ("object3", "object4")
    several = ("object2", "object3", "object4")
    absent = [f"absent {why}" for why in ("same noun", "same colour", "noun", "pair", "surface")]
    stuff = ("wall", "kind", "surface", "backdrop")
    rows = [
        tally.gate("instance IoU, one or two objects", both(*few), limit=0.90),
        tally.gate("instance IoU, three or four objects", both(*many), limit=0.87),
        tally.gate("right object", _endings(both(*several), "right"), limit=0.97),
        tally.gate("absent concepts found", both(*absent), limit=0.05, at_most=True),
        tally.gate("all instances of a noun right", both("several"), limit=0.90),
        tally.gate("wall, floor, table, named surface IoU", both(*stuff), limit=0.92),
    ]
    for language in LANGUAGES:
        rows += [
            tally.gate(f"{language}: IoU, {n} objects", [f"object{n} {language}"])
            for n in range(1, 5)
        ]
        rows += [
            tally.gate(f"{language}: right object", [f"{n} {language} right" for n in several]),
            tally.gate(f"{language}: absent found", [f"{name} {language}" for name in absent]),
            tally.gate(f"{language}: all instances right", [f"several {language}"]),
        ]
    rows += [tally.gate(f"{name} found", both(name)) for name in absent]
    rows += [tally.gate(f"{name} IoU", both(name)) for name in stuff]
    rows += [
        tally.gate("kin objects: right object", _endings(both("kin"), "right")),
        tally.gate("kin objects: IoU", both("kin")),
        tally.gate("several: IoU of each", _endings(both("several"), "iou")),
        tally.gate("held-out pairs: IoU", both("held out")),
        tally.gate("held-out pairs: right object", _endings(both("held out"), "right")),
    ]
    return rows


def _endings(names: Sequence[str], ending: str) -> list[str]:
    return [f"{name} {ending}" for name in names]


def _latency(segmenter: Segmenter, plan: ShelfPlan) -> list[Gate]:
    """Seconds of one phrase on one new picture on two threads: the model, and the engine.

    The fastest of a few has the limit, because other work on the machine counts least in it; the
    median stands beside it. The engine reads a PNG and packs the masks besides.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(LATENCY_THREADS)
    served = _through_engine(segmenter)
    seconds: dict[str, list[float]] = {"": []} | ({" through the engine": []} if served else {})
    try:
        for shown in scenes(replace(plan, scenes=LATENCY_REPEATS + 1)):
            seconds[""].append(_seconds(partial(segmenter.find, shown.picture, [PHRASE])))
            if served:
                seconds[" through the engine"].append(_seconds(served(shown.picture)))
    finally:
        torch.set_num_threads(before)
    rows = []
    name = f"seconds of a segmentation, {LATENCY_THREADS} threads"
    for way, (_, *seen) in seconds.items():  # the first one warms up
        least = Gate(f"{name}: fastest{way}", min(seen), LATENCY_SECONDS_MAX, at_most=True)
        rows += [least, Gate(f"{name}: median{way}", median(seen), count=len(seen))]
    return rows


def _through_engine(
    segmenter: Segmenter,
) -> Callable[[NDArray[np.uint8]], Callable[[], None]] | None:
    """Makes of a picture what asks the engine; None where training has no engine beside it."""
    try:
        served = importlib.import_module("inference.training.segmenter.served")
    except ImportError as missing:
        # A stage of hours does not fall over what it does not need.
        print(f"through the engine: NOT measured: {missing}", flush=True)
        return None
    ask = served.asking(segmenter, PHRASE)
    return lambda picture: partial(ask, served.png(picture))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def score_folder(folder: Path, seed: int = GATE_SEED, share: float = 1.0) -> list[Gate]:
    """Scores a model folder."""
    return score(Segmenter.load(folder), seed, share)
