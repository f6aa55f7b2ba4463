"""What bounds a request: pixels, runs, time; and whose fault harms whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from inference.engine import caps
from inference.engine.segmentation import calls, finding
from inference.engine.segmentation import request as requests
from inference.engine.segmentation.request import Segmentation
from tests.unit.inference.segment_player import Bench, Heard, replaced, request


def bounding(bench: Bench) -> dict[str, Any]:
    """Room for two instances of each of two concepts, and for the runs of one."""
    area = 48 * 40

    def ask() -> Segmentation:
        asked = request(1, "wall", "floor", score_min=0.0)
        return bench.run(bench.engine(), asked)[0].answer

    whole = ask()
    with replaced(requests, "INSTANCE_PIXELS_MAX", 2 * 2 * area):
        few = ask()
    longest = max(len(whole.found[0].instances[0].mask.rle), len(whole.found[1].union.rle))
    with replaced(finding, "INSTANCE_CHARACTERS_MAX", 2 * longest):
        short = ask()
    with replaced(finding, "INSTANCE_CHARACTERS_MAX", 0):
        none = ask()
    return {
        "whole": [[len(one.instances), one.left_out] for one in whole.found],
        "few": [[len(one.instances), one.left_out] for one in few.found],
        "best": all(
            [each.score for each in one.instances] == [each.score for each in two.instances[:2]]
            for one, two in zip(few.found, whole.found, strict=True)
        ),
        "short": [len(one.instances) + one.left_out for one in short.found],
        "short_fewer": len(short.found[0].instances) < 4,
        "none": [[len(one.instances), one.left_out] for one in none.found],
        "unions": all(
            answer.found[at].union == whole.found[at].union
            for answer in (few, short, none)
            for at in (0, 1)
        ),
        "limits": [requests.instances_max(*each) for each in LIMITS],
    }


LIMITS = (
    (1, 1),
    (2_000_000, 16),
    (12_000_000, 4),
    (25_000_000, 1),
    (25_000_000, 16),
    (1 << 40, 16),
)


@contextmanager
def slow_masks(bench: Bench, seconds: float, then: Callable[[int], None]) -> Iterator[list[int]]:
    """Every answer takes a while to be made into masks."""
    made = [0]

    def slowly(*given: Any) -> Any:
        made[0] += 1
        bench.now += seconds
        then(made[0])
        return finding.found(*given)

    with replaced(calls, "found", slowly):
        yield made


def patience(bench: Bench) -> dict[str, Any]:
    """Sixteen answers of 50 s each in one step: seen from outside, ended in time, given up."""
    words = [f"thing {n}" for n in range(16)]
    engine, stalled, heard = bench.engine(), list[bool](), Heard()
    with slow_masks(bench, 50, lambda _: stalled.append(engine.stalled)) as made:
        engine.submit(request(1, *words, timeout_seconds=3_600), heard)
        while engine.step():
            pass
    patient = [heard.outcome, made[0]]
    engine = bench.engine()
    late, other = Heard(), Heard()
    with slow_masks(bench, 50, lambda _: None) as made:
        engine.submit(request(1, *words[:15], timeout_seconds=120), late)
        engine.submit(request(2, "wall", timeout_seconds=3_600), other)
        while engine.step():
            pass
    out_of_time = [late.outcome, other.outcome, made[0]]
    engine, left = bench.engine(), Heard()

    def leave(number: int) -> None:
        left.leaves = number == 2

    with slow_masks(bench, 0, leave) as made:
        engine.submit(request(1, *words), left)
        while engine.step():
            pass
    return {
        "stalled": any(stalled),
        "patient": patient,
        "late": out_of_time,
        "left": [left.outcome, made[0]],
    }


def absent(bench: Bench) -> dict[str, Any]:
    """What is not there costs no masks."""
    unpacked = []

    def grown(*given: Any) -> Any:
        unpacked.append(given)
        return finding_grown(*given)

    finding_grown = finding.grown
    with replaced(finding, "grown", grown):
        heard = bench.run(bench.engine(), request(1, "wall", score_min=1.0))
    return {"areas": heard[0].answer.found[0].union.area, "unpacked": len(unpacked)}


def illegible(bench: Bench) -> dict[str, Any]:
    engine = bench.engine()
    bench.model.illegible = "mug"
    heard = bench.run(engine, request(1, "wall"), request(2, "mug"), request(3, "wall", "mug"))
    return {"outcomes": [one.outcome for one in heard]}


def raising(bench: Bench) -> dict[str, Any]:
    """A watcher that raises, when asked or when told, beside two that do not."""
    engine = bench.engine()
    good, asked, told = Heard(), Heard(raises=True), Heard()
    told.finished = lambda _: 1 / 0
    for seed, watcher in enumerate((asked, told, good)):
        engine.submit(request(seed), watcher)
    while engine.step():
        pass
    return {
        "good": good.outcome,
        "asked": asked.outcome,
        "after": bench.run(engine, request(5))[0].outcome,
    }


def growing(bench: Bench) -> dict[str, Any]:
    """Memory is short for eight pairs once; after three good calls of four it is tried again."""
    engine = bench.engine()
    short = [True]

    def at_first(pairs: int) -> None:
        if pairs > 4 and short[0]:
            raise torch.OutOfMemoryError("no room")

    bench.model.before = at_first
    sizes = []
    with replaced(caps, "GOOD_CALLS", 3):
        for seed in range(5):
            bench.model.asked = []
            words = [f"thing {n}" for n in range(8)]
            bench.run(engine, request(seed, *words))
            short[0] = False
            sizes.append(list(bench.model.asked))
    return {"sizes": sizes}


CHECKS = (absent, bounding, growing, illegible, patience, raising)
