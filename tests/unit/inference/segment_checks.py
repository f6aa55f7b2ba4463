"""What the segmenter's engine does, seen from the environment that has torch.

``python -m tests.unit.inference.segment_checks`` runs every check on a tiny model and prints their
findings as one JSON object; the tests in ``test_segmentation.py`` judge them.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from inference.engine.segmentation.engine import ACTIVE_MAX, SegmentEngine
from inference.engine.segmentation.registry import Segmenters
from inference.engine.segmentation.request import SegmentRequest
from tests.unit.inference import segment_limit_checks, segment_shelf_checks, tiny_sam3
from tests.unit.inference.segment_player import (
    EMBEDDING_BYTES,
    Bench,
    Heard,
    picture,
    refused,
    request,
)


def company(bench: Bench) -> dict[str, Any]:
    """Random arrivals, numbers of concepts, sizes and leavings; each as it ends alone."""
    chance = random.Random(7)
    words = ("wall", "a mug", "the floor", "벽", "red", "lamp on a table")
    asked = [
        SegmentRequest(
            picture(chance.randrange(4), chance.choice((30, 48)), 40),
            tuple(chance.choices(words, k=chance.randint(1, 6))),
        )
        for _ in range(24)
    ]
    alone = [bench.run(bench.engine(), one)[0].runs for one in asked]
    engine = bench.engine()
    heard = [Heard() for _ in asked]
    steps, arriving, busy = 0, list(range(len(asked))), True
    while arriving or busy:
        for _ in range(chance.choice((0, 0, 1, 3))):
            if arriving:
                at = arriving.pop(0)
                engine.submit(asked[at], heard[at])
        gone = chance.randrange(len(asked))
        if chance.random() < 0.1 and not heard[gone].said:
            heard[gone].leaves = True
        busy = engine.step()
        steps += 1
    stayed = [at for at in range(len(asked)) if not heard[at].leaves]
    return {
        "stayed": len(stayed),
        "as_alone": sum(heard[at].runs == alone[at] for at in stayed),
        "left": [heard[at].outcome for at in range(len(asked)) if heard[at].leaves],
        "largest": max(bench.model.asked),
        "steps": steps,
        "different": len({json.dumps(runs) for runs in alone}),
    }


def reference(bench: Bench) -> dict[str, Any]:
    """The same as the library's own forward, and as its post-processing would have it."""
    pixels = np.array(Image.open(io.BytesIO(picture(3))))
    phrases = ["wall", "a red mug", "벽"]
    bench.model.reset()
    (seen,) = bench.model.embed([pixels])
    answers = bench.model.ask([(seen, text) for text in bench.model.read(phrases)])
    tokens = bench.model._tokenizer(phrases, padding=True, return_tensors="pt")
    with torch.no_grad():
        wanted = bench.model._model(
            pixel_values=bench.model._pixels(pixels).expand(3, -1, -1, -1),
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
        )
    scores = wanted.pred_logits.sigmoid() * wanted.presence_logits.sigmoid()
    return {
        "masks": max(
            (one.masks - two).abs().max().item()
            for one, two in zip(answers, wanted.pred_masks, strict=True)
        ),
        "scores": max(
            (one.scores - two).abs().max().item() for one, two in zip(answers, scores, strict=True)
        ),
        "apart": (answers[0].masks - answers[1].masks).abs().max().item(),
    }


def remembering(bench: Bench) -> dict[str, Any]:
    engine = bench.engine()
    first = bench.run(engine, request(1, "wall"), request(1, "wall", "floor"))
    looked, read = list(bench.model.embedded), list(bench.model.read_words)
    again = bench.run(engine, request(1, "floor"), request(2, "wall"))
    small = bench.engine(bytes_max=2 * EMBEDDING_BYTES)
    for seed in (1, 2, 1, 3, 1, 2):
        bench.run(small, request(seed))
    cache = small._segmenters.ready("tiny").embeddings
    none = bench.engine(bytes_max=EMBEDDING_BYTES - 1)
    bench.run(none, request(1))
    bench.run(none, request(1))
    return {
        "known_at_first": [one.answer.was_known for one in first],
        "looked_at_first": looked,
        "read_at_first": sorted(read),
        "known_again": [one.answer.was_known for one in again],
        "bytes": cache.size_bytes,
        "looked_without_room": sum(bench.model.embedded),
    }


def evicting(bench: Bench) -> dict[str, Any]:
    """Room for two: 1, 2, 1 again, 3 (2 goes), 1 again, 2 anew."""
    engine = bench.engine(bytes_max=2 * EMBEDDING_BYTES)
    known = [bench.run(engine, request(seed))[0].answer.was_known for seed in (1, 2, 1, 3, 1, 2)]
    return {"known": known}


def turns(bench: Bench) -> dict[str, Any]:
    """One concept beside three requests for sixteen: at which step it is answered."""
    engine = bench.engine()
    many = [Heard() for _ in range(3)]
    for seed, watcher in enumerate(many):
        engine.submit(request(seed, *(f"thing {n}" for n in range(16))), watcher)
    one = Heard()
    engine.submit(request(9, "wall"), one)
    steps = 0
    while not one.said:
        engine.step()
        steps += 1
    done_before = sum(bool(each.said) for each in many)
    while engine.step():
        pass
    return {
        "steps": steps,
        "done_before": done_before,
        "outcomes": [each.outcome for each in many],
        "concepts": [len(each.answer.found) for each in many],
    }


def failing(bench: Bench) -> dict[str, Any]:
    engine = bench.engine()
    bench.model.poisoned = 1
    nan = bench.run(engine, *(request(seed) for seed in (1, 2, 3)))
    engine = bench.engine()
    broken = SegmentRequest(b"no picture", ("wall",))
    unreadable = bench.run(engine, request(1), broken, request(2))
    engine = bench.engine()

    def refuse(_: int) -> None:
        raise ValueError("no")

    bench.model.before = refuse
    raising = bench.run(engine, request(1))
    return {
        "nan": [one.outcome for one in nan],
        "unreadable": [one.outcome for one in unreadable],
        "raising": [one.outcome for one in raising],
    }


def memory(bench: Bench) -> dict[str, Any]:
    def at_most(most: int) -> Callable[[int], None]:
        def check(pairs: int) -> None:
            if pairs > most:
                raise torch.OutOfMemoryError("no room")

        return check

    engine = bench.engine()
    bench.model.before = at_most(4)
    halved = bench.run(engine, *(request(seed, "wall", "floor") for seed in (1, 2, 3, 4)))
    first = list(bench.model.asked)
    later = bench.run(engine, *(request(seed, "wall", "floor") for seed in (1, 2, 3, 4)))
    after = bench.model.asked[len(first) :]
    engine = bench.engine()
    bench.model.before = at_most(0)
    hopeless = bench.run(engine, request(1))
    tries = len(bench.model.asked)
    bench.model.before = lambda _: None
    next_one = bench.run(engine, request(1))
    return {
        "outcomes": [one.outcome for one in (*halved, *later)],
        "first": first,
        "later": after,
        "hopeless": hopeless[0].outcome,
        "message": str(hopeless[0].said[0]),
        "tries": tries,
        "next": next_one[0].outcome,
    }


def refusing(bench: Bench) -> dict[str, Any]:
    engine = bench.engine(waiting_max=2)
    for seed in (1, 2):
        engine.submit(request(seed), Heard())
    none = SegmentEngine(Segmenters({}))
    english = bench.installed()
    english.segmenter.traits = type(english.segmenter.traits)(64, languages=("en",))
    speaking = SegmentEngine(Segmenters({"tiny": english}))
    found = {
        "overloaded": refused(engine, request(3)),
        "unknown": refused(engine, request(3, model="none")),
        "invalid": refused(engine, request(3, "wall", " ")),
        "none": refused(none, request(3)),
        "untranslatable": refused(speaking, request(3, "wall", "뷁")),
    }
    translated = bench.run(speaking, request(3, "빨간 소파"))
    found["asked_as"] = translated[0].answer.found[0].asked_as
    bench.model.traits = type(bench.model.traits)(64, score_min=0.01)
    return found


def leaving(bench: Bench) -> dict[str, Any]:
    engine = bench.engine()
    heard = [Heard(), Heard(leaves=True)]
    engine.submit(request(1), heard[0])
    engine.submit(request(2), heard[1])
    while engine.step():
        pass
    looked = sum(bench.model.embedded)
    slow = bench.engine()
    watcher = Heard()
    slow.submit(request(1, "wall", timeout_seconds=5), watcher)
    slow.step()
    bench.now = 6.0
    slow.step()
    return {
        "outcomes": [one.outcome for one in heard],
        "looked": looked,
        "late": watcher.outcome,
    }


def leaving_the_line(bench: Bench) -> dict[str, Any]:
    """A line full of callers that have gone, behind as many as may be worked for at once."""
    engine = bench.engine(waiting_max=ACTIVE_MAX)
    heard = [Heard() for _ in range(ACTIVE_MAX)]
    for seed, one in enumerate(heard):
        engine.submit(request(seed, "wall", "floor"), one)
    engine.step()
    gone = [Heard(leaves=True) for _ in range(ACTIVE_MAX)]
    for one in gone:
        engine.submit(request(1), one)
    full = refused(engine, request(1))
    engine.step()
    last = Heard()
    engine.submit(request(1), last)
    busy = not any(one.said for one in heard)
    while engine.step():
        pass
    return {
        "full": full["reason"],
        "busy": busy,
        "gone": sorted({one.outcome for one in gone}),
        "answered": [last.outcome, *{one.outcome for one in heard}],
    }


def answering(bench: Bench) -> dict[str, Any]:
    """What an answer holds, and how thresholds bound it."""
    engine = bench.engine()
    (low, high, strict) = bench.run(
        engine,
        request(1, "wall", score_min=0.0),
        request(1, "wall", score_min=1.0),
        request(1, "wall", score_min=0.0, mask_threshold=0.9),
    )
    found = low.answer.found[0]
    scores = [each.score for each in found.instances]
    return {
        "size": [low.answer.height, low.answer.width, low.answer.model],
        "instances": len(scores),
        "descending": scores == sorted(scores, reverse=True),
        "areas": [each.mask.area for each in found.instances],
        "union": found.union.area,
        "presence": found.presence,
        "high": [len(high.answer.found[0].instances), high.answer.found[0].union.area],
        "strict_union": strict.answer.found[0].union.area,
        "empty": [one.outcome for one in (low, high, strict)],
    }


def stalling(bench: Bench) -> dict[str, Any]:
    """Seen from another thread while a step goes on."""
    engine, seen = bench.engine(), []
    engine.submit(request(1), Heard())
    engine.step()

    def hang(_: int) -> None:
        for seconds in (100, 100):
            bench.now += seconds
            seen.append(engine.stalled)

    bench.model.before = hang
    engine.step()
    bench.now += 1_000
    return {"seen": seen, "idle": engine.stalled}


def closing(bench: Bench) -> dict[str, Any]:
    engine = bench.engine()
    heard = Heard()
    engine.submit(request(1), heard)
    engine.close()
    engine.run()
    return {"outcome": heard.outcome, "after": refused(engine, request(2))["reason"]}


CHECKS = (
    answering,
    closing,
    company,
    evicting,
    failing,
    leaving,
    leaving_the_line,
    memory,
    reference,
    refusing,
    remembering,
    stalling,
    turns,
    *segment_limit_checks.CHECKS,
    *segment_shelf_checks.CHECKS,
)


def main() -> None:
    torch.set_num_threads(1)  # two threads on busy cores wait for each other more than they work
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "tiny"
        tiny_sam3.save(directory)
        bench = Bench(directory)
        json.dump({check.__name__: check(bench) for check in CHECKS}, sys.stdout)


if __name__ == "__main__":
    main()
