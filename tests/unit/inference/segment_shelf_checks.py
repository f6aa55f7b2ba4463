"""Segmenters that are loaded and unloaded as they are asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from inference.engine.memory import SEGMENTERS
from inference.engine.segmentation.engine import ACTIVE_MAX, SegmentEngine
from inference.engine.segmentation.installed import weights_bytes
from inference.engine.segmentation.registry import Segmenters, bytes_max
from inference.engine.segmentation.segmenter import Segmenter
from tests.unit.inference.segment_player import Bench, Heard, refused, request


class Shelf:
    """A folder of segmenters, and what was loaded from it."""

    def __init__(self, bench: Bench, root: Path, room: int) -> None:
        self.bench, self.root = bench, root
        bench.model.reset()
        self.loads: list[str] = []
        self.broken: set[str] = set()
        self.size = weights_bytes(bench.folder)
        bench.now = 0.0
        self.models = Segmenters({}, root, self.load, room * self.size, lambda: bench.now)
        self.engine = SegmentEngine(self.models, clock=lambda: bench.now)

    def put(self, *names: str) -> None:
        for name in names:
            shutil.copytree(self.bench.folder, self.root / name)

    def load(self, path: Path) -> Segmenter:
        self.loads.append(path.name)
        self.bench.now += 100  # longer than a request may take
        if path.name in self.broken:
            raise ValueError("half copied")
        return self.bench.model  # which all of the folders hold

    def states(self) -> dict[str, str]:
        return {name: one.state for name, one in self.engine.statuses().items()}


def _told(setting: str) -> int:
    os.environ[SEGMENTERS] = setting
    try:
        return bytes_max(torch.device("cpu"))
    finally:
        del os.environ[SEGMENTERS]


def shelves(bench: Bench) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(bench, Path(folder), room=2)
        engine, run = shelf.engine, bench.run
        empty = refused(engine, request(1))
        shelf.put("a", "b", "c")
        before = shelf.states()
        first = run(engine, request(1))[0]
        for name in ("b", "a", "c"):
            run(engine, request(1, model=name))
        after = shelf.states()
        run(engine, request(1, model="b"))
        shelf.put("later")
        later = run(engine, request(1, model="later"))[0].outcome
        return {
            "empty": empty["reason"],
            "before": before,
            "first": [first.answer.model, first.answer.seconds],
            "after": after,
            "loads": shelf.loads,
            "later": later,
            "room": [bytes_max(torch.device("cpu")) > 0, _told("123")],
        }


def sharing(bench: Bench) -> dict[str, Any]:
    """Room for one: a request for another waits for those at work, and nobody passes it by."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(bench, Path(folder), room=1)
        shelf.put("a", "b")
        engine, order = shelf.engine, list[str]()
        words = [f"thing {n}" for n in range(16)]
        heard = {}
        for name, model in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
            heard[name] = Heard()
            engine.submit(request(1, *words, model=model), heard[name])
        for _ in range(3):
            engine.step()
        heard["a3"] = Heard()
        engine.submit(request(1, *words, model="a"), heard["a3"])
        while engine.step():
            order += [name for name, one in heard.items() if one.said and name not in order]
        order += [name for name in heard if name not in order]
        return {
            "order": order,
            "loads": shelf.loads,
            "outcomes": sorted({one.outcome for one in heard.values()}),
        }


def broken(bench: Bench) -> dict[str, Any]:
    """One that cannot be loaded: at 0, refused at 5, tried again at 200, mended at 600 s."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(bench, Path(folder), room=2)
        shelf.put("a", "b")
        shelf.broken = {"b"}
        beside, one = bench.run(shelf.engine, request(1, model="a"), request(1, model="b"))
        bench.now += 5
        soon = refused(shelf.engine, request(1, model="b"))
        state = shelf.states()["b"]
        bench.now += 200
        again = bench.run(shelf.engine, request(1, model="b"))[0].outcome
        shelf.broken = set()
        bench.now += 600
        mended = bench.run(shelf.engine, request(1, model="b"))[0].outcome
        return {
            "beside": beside.outcome,
            "first": one.outcome,
            "soon": [soon["reason"], soon["retry_after_seconds"]],
            "state": state,
            "again": again,
            "mended": mended,
            "loads": shelf.loads,
        }


def counting(bench: Bench) -> dict[str, Any]:
    """What is counted of each: who waits, what is done and in how long, want of memory, loads."""
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(bench, Path(folder), room=1)
        shelf.put("a", "b")
        engine, seen = shelf.engine, []
        for number in range(ACTIVE_MAX + 3):
            engine.submit(request(number, "wall", "floor", model="a"), Heard())

        def short(pairs: int) -> None:
            bench.now += 0.5
            if pairs > 8:
                raise MemoryError

        bench.model.before = short
        while engine.step():
            seen.append(engine.statuses()["a"])
        calls = len(bench.model.asked)
        for name in ("b", "a"):
            bench.run(engine, request(1, model=name))
        end = engine.statuses()
        return {
            "first": [seen[0].rows, seen[0].waiting, seen[0].steps],
            "growing": [one.steps for one in seen] == [*range(1, len(seen) + 1)],
            "seconds": [seen[-1].step_seconds, 0.5 * (calls - 1)],
            "halvings": [end[name].halvings for name in ("a", "b")],
            "loads": [end[name].loads for name in ("a", "b")],
            "waiting": [one.waiting for one in end.values()],
        }


CHECKS = (broken, counting, sharing, shelves)
