"""Users and arrivals: our engine beside a plain server of diffusers' pipeline, on one card.

The plain server takes what waits for the same number of steps as one batch, eight at most, and
begins the next when that has ended: what is written first where pictures are served by hand.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline

from inference.engine.errors import EngineError, ModelFailed
from inference.engine.models.model import Model
from inference.engine.request import ImageRequest
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import measure
from inference.engine.sampling.registry import Installed, Registry
from tests.bench._gpu_setting import NAME, Denoiser, Setting, compiled, request
from tests.bench._sampling import PATIENCE_SECONDS, Arrived, wait
from tests.bench.record import Record

LOAD = 0.8  # of what one user at a time gets from our engine
BATCH_SIZES = (1, 2, 4, 8)
OURS = "our engine"
Submit = Callable[[ImageRequest, Arrived], None]
Server = Callable[[], AbstractContextManager[Submit]]


@dataclass(frozen=True)
class Played:
    """One turn of one server."""

    per_second: float
    mean_seconds: float
    p95_seconds: float


class _Batches:
    """The plain server."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self._pipeline, self._device = pipeline, device
        self._waiting: list[tuple[ImageRequest, Arrived]] = []
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, asked: ImageRequest, arrived: Arrived) -> None:
        with self._changed:
            self._waiting.append((asked, arrived))
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        while batch := self._next():
            try:
                self.draw([asked for asked, _ in batch])
                error: EngineError | None = None
            except Exception as failure:
                error = ModelFailed(f"{type(failure).__name__}: {failure}")
            for _, arrived in batch:
                arrived.failed(error) if error else arrived.ended()

    def draw(self, asked: Sequence[ImageRequest]) -> Any:
        """Pictures (n, height, width, 3), as numbers on the host."""
        generators = [torch.Generator().manual_seed(one.seed) for one in asked]
        return self._pipeline(
            [one.prompt for one in asked],
            num_inference_steps=asked[0].steps,
            guidance_scale=asked[0].guidance_scale,
            generator=generators,
            output_type="np",
        ).images

    def _next(self) -> list[tuple[ImageRequest, Arrived]]:
        """The longest that waits and its like; nothing: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            steps = self._waiting[0][0].steps
            same = [one for one in self._waiting if one[0].steps == steps]
            # Of few sizes, because every new one is compiled.
            batch = same[: max(size for size in BATCH_SIZES if size <= len(same))]
            self._waiting = [one for one in self._waiting if one not in batch]
            return batch


@contextmanager
def serving(run: Callable[[], None], close: Callable[[], None]) -> Iterator[None]:
    """A loop on a thread of its own."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        close()
        thread.join(PATIENCE_SECONDS)


@contextmanager
def engine(root: Path, installed: Installed) -> Iterator[Submit]:
    """Our engine with the one model of a folder, which is loaded."""
    registry = Registry(root, NAME, lambda _: installed, 1 << 50, background=lambda work: work())
    made = Engine(registry)
    with serving(made.run, made.close):
        yield made.submit


@contextmanager
def with_unet(denoiser: Denoiser, unet: Any) -> Iterator[None]:
    """Another UNet in a model's or a pipeline's place."""
    denoiser.put(unet)
    try:
        yield
    finally:
        denoiser.put(denoiser.own)


def part(setting: Setting, folder: Path) -> Iterator[Record]:
    """Every load by every server, in turns."""
    setting.save_sdxl(folder / NAME)
    servers, size = _servers(setting, folder / NAME)
    for steps, users in itertools.product(setting.steps, setting.users):
        asked = f"{size} px, {steps} steps, {users} user{'s' * (users > 1)}"
        yield from _compared(setting, asked, servers, partial(crowd, setting, users, steps))
    alone = _alone(servers[OURS], setting)
    pauses = [
        [random.Random(turn).expovariate(LOAD * alone) for _ in range(setting.arrivals)]
        for turn in range(setting.rounds)
    ]
    asked = f"{size} px, {' or '.join(map(str, setting.steps))} steps, Poisson arrivals"
    yield from _compared(setting, asked, servers, partial(arrive, setting, pauses))


def _servers(setting: Setting, folder: Path) -> tuple[dict[str, Server], int]:
    """Ours and its peers by name, each warm, and the side of their pictures."""
    model = Model(NAME, folder, setting.device)
    pipeline = _pipeline(folder, setting.device)
    ours, theirs = Denoiser.of(model), Denoiser(pipeline, "unet")
    # The levers trace; here a dry run has nothing more to see.
    fast, theirs_fast = (
        compiled(each.own, setting, is_off=setting.is_dry) for each in (ours, theirs)
    )
    installed = Installed(model, measure(model))
    with with_unet(ours, fast):
        installed_fast = Installed(model, measure(model))

    @contextmanager
    def own(found: Installed, unet: Any) -> Iterator[Submit]:
        with with_unet(ours, unet), engine(folder.parent, found) as submit:
            yield submit

    @contextmanager
    def peer(unet: Any) -> Iterator[Submit]:
        batches = _Batches(pipeline, setting.device)
        with with_unet(theirs, unet), serving(batches.run, batches.close):
            yield batches.submit

    for unet in (theirs.own, theirs_fast):
        with with_unet(theirs, unet):
            for size in BATCH_SIZES[: 2 if setting.is_dry else None]:
                _Batches(pipeline, setting.device).draw([request(n, 2) for n in range(size)])
    return {
        OURS: lambda: own(installed, ours.own),
        "our engine, compiled": lambda: own(installed_fast, fast),
        "diffusers": lambda: peer(theirs.own),
        "diffusers, compiled": lambda: peer(theirs_fast),
    }, model.base_px


def _pipeline(folder: Path, device: torch.device) -> Any:
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    made = StableDiffusionXLPipeline.from_pretrained(
        folder, local_files_only=True, dtype=dtype, low_cpu_mem_usage=False, add_watermarker=False
    ).to(device)
    made.set_progress_bar_config(disable=True)
    made.vae.enable_slicing()  # else eight pictures of 1,024 px are decoded at once
    return made


def _compared(
    setting: Setting,
    asked: str,
    servers: dict[str, Server],
    play: Callable[[Submit, int], Played],
) -> Iterator[Record]:
    turns: dict[str, list[Played]] = {name: [] for name in servers}
    for turn in range(setting.rounds):
        for name, server in servers.items():
            with server() as submit:
                turns[name].append(play(submit, turn))
    for peer in servers:
        if peer != OURS:
            for key, title, unit in KINDS:
                yield _record(f"gpu: {asked}: {title}", turns, peer, key, unit)


KINDS = (
    ("per_second", "pictures", "pictures/s"),
    ("mean_seconds", "mean latency", "s"),
    ("p95_seconds", "latency, 95th percentile", "s"),
)


def _record(name: str, turns: dict[str, list[Played]], peer: str, key: str, unit: str) -> Record:
    own = [getattr(each, key) for each in turns[OURS]]
    other = [getattr(each, key) for each in turns[peer]]
    ratio = median(mine / theirs for mine, theirs in zip(own, other, strict=True))
    return Record(f"{name}, beside {peer}", median(own), unit, peer, ratio)


def _alone(server: Server, setting: Setting) -> float:
    """Pictures a second that one user gets, whatever the steps."""
    with server() as submit:
        rates = [crowd(setting, 1, steps, submit).per_second for steps in setting.steps]
    return len(rates) / sum(1 / rate for rate in rates)


def crowd(setting: Setting, users: int, steps: int, submit: Submit, turn: int = 0) -> Played:
    """Users who ask again as soon as they are answered, in every turn for the same."""

    def user(number: int) -> list[float]:
        return [_ask(submit, number * setting.each + n, steps) for n in range(setting.each)]

    began = time.perf_counter()
    with ThreadPoolExecutor(users) as threads:
        seconds = [each for all_of_one in threads.map(user, range(users)) for each in all_of_one]
    return _played(seconds, time.perf_counter() - began)


def arrive(
    setting: Setting, pauses: Sequence[Sequence[float]], submit: Submit, turn: int
) -> Played:
    """Pictures that are asked for each after its pause, whoever still waits."""
    began, ended = time.perf_counter(), threading.Semaphore(0)
    arrived = []
    for number, pause in enumerate(pauses[turn]):
        time.sleep(pause)
        arrived.append(Arrived(ended))
        submit(request(number, setting.steps[number % len(setting.steps)]), arrived[-1])
    for _ in arrived:
        wait(ended)
    return _played([one.seconds_or_raise() for one in arrived], time.perf_counter() - began)


def _ask(submit: Submit, number: int, steps: int) -> float:
    ended = threading.Semaphore(0)
    arrived = Arrived(ended)
    submit(request(number, steps), arrived)
    wait(ended)
    return arrived.seconds_or_raise()


def _played(seconds: Sequence[float], spent: float) -> Played:
    in_order = sorted(seconds)
    late = in_order[min(len(in_order) - 1, int(0.95 * len(in_order)))]
    return Played(len(seconds) / spent, sum(seconds) / len(seconds), late)
