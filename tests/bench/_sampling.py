"""Samples the bundled model under one arrival after the other; in the environment that has torch.

Reads nothing and prints one JSON object: for every policy its rounds, each with the mean time from
arrival to picture and the pictures a second of a crowd that comes at once.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

from inference.engine.errors import EngineError
from inference.engine.models.model import Model
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import measure
from inference.engine.sampling.registry import Installed, Registry

MODELS = Path(__file__).parents[2] / "inference" / "bundled"
NAME = "sdxl"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
PICTURES = int(os.environ.get("BENCH_OPERATIONS", "40"))
STEPS = (8, 12, 20)
LOAD = 0.8  # of what one at a time can bear
CROWD = 16
PATIENCE_SECONDS = 900.0  # for one end; the first steps of a large model may be compiled meanwhile


class WholeBatches(Engine):
    """Begins nothing while a batch is under way, as batchers before a pipeline do."""

    def _admit(self) -> None:
        if not self._active:
            super()._admit()


class OneAtATime(Engine):
    """One picture after the other."""

    def _cap(self, shape: Any, installed: Installed) -> int:
        return 1

    def _admit(self) -> None:
        if not self._active:
            super()._admit()


POLICIES = {"continuous": Engine, "whole batches": WholeBatches, "one at a time": OneAtATime}


class Arrived:
    """Somebody who waits for a picture; the semaphore tells of the end, whichever it is."""

    def __init__(self, ended: threading.Semaphore) -> None:
        self._ended = ended
        self.began = time.perf_counter()
        self.seconds = 0.0
        self.error: EngineError | None = None

    def cancelled(self) -> bool:
        return False

    def progress(self, progress: Progress) -> None: ...

    def finished(self, picture: Picture) -> None:
        self.ended()

    def ended(self) -> None:
        self.seconds = time.perf_counter() - self.began
        self._ended.release()

    def failed(self, error: EngineError) -> None:
        # Raised by the one who waits: this is the engine's thread, where it would be caught.
        self.error = error
        self._ended.release()

    def seconds_or_raise(self) -> float:
        """From arrival to picture; raises what came instead."""
        if self.error:
            raise self.error
        return self.seconds


def wait(ended: threading.Semaphore) -> None:
    """Waits for one more to end.

    Raises:
        TimeoutError: Nobody ends any more: the loop has died.
    """
    if not ended.acquire(timeout=PATIENCE_SECONDS):
        raise TimeoutError(f"nothing ended within {PATIENCE_SECONDS:g} s")


def play(policy: type[Engine], installed: Installed, pauses: list[float]) -> tuple[float, float]:
    """Lets pictures be asked for, each after its pause.

    Returns:
        Mean seconds from arrival to picture, and pictures a second from the first to the last.
    """
    registry = Registry(MODELS, NAME, lambda _: installed, 1 << 40, background=lambda work: work())
    engine = policy(registry)
    running = threading.Thread(target=engine.run, daemon=True)
    running.start()
    ended = threading.Semaphore(0)
    began = time.perf_counter()
    arrived = []
    try:
        for number, pause in enumerate(pauses):
            time.sleep(pause)
            arrived.append(Arrived(ended))
            steps = STEPS[number % len(STEPS)]
            asked = ImageRequest("a red mug on a table", seed=number, steps=steps)
            engine.submit(asked, arrived[-1])
        for _ in arrived:
            wait(ended)
        spent = time.perf_counter() - began
    finally:
        engine.close()
        running.join(PATIENCE_SECONDS)
    return sum(one.seconds_or_raise() for one in arrived) / len(arrived), len(arrived) / spent


def main() -> None:
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model = Model(NAME, MODELS / NAME, torch.device("cpu"))
    installed = Installed(model, measure(model))
    alone = play(OneAtATime, installed, [0.0] * len(STEPS))[1]
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in POLICIES}
    for number in range(ROUNDS):
        chance = random.Random(number)
        pauses = [chance.expovariate(LOAD * alone) for _ in range(PICTURES)]
        for name, policy in POLICIES.items():
            mean = play(policy, installed, pauses)[0]
            throughput = play(policy, installed, [0.0] * CROWD)[1]
            rounds[name].append({"mean_seconds": mean, "per_second": throughput})
    json.dump({"rows_max": installed.profile.rows_max, "rounds": rounds}, sys.stdout)


if __name__ == "__main__":
    main()
