"""A tiny model that tells what it is asked, watchers that keep what they hear, engines for both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from inference.engine.errors import EngineError
from inference.engine.models.model import Model
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import Profile
from inference.engine.sampling.registry import Installed, Registry

CPU = torch.device("cpu")
Asked = dict[str, Any]
BYTES_MAX = 1 << 30


def now(work: Callable[[], None]) -> None:
    """Does in the foreground what is else done beside the loop."""
    work()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Something of a library or the engine that fails as it really may."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


class Spied(Model):
    """A model that tells what it was asked, and fails when told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory.name, directory, CPU)
        self.reset()

    def reset(self) -> None:
        self.batches: list[list[int]] = []
        self.latents: dict[int, torch.Tensor] = {}
        self.decoded: list[list[int]] = []
        self.before_beginning: Callable[[int], None] = lambda _: None
        self.before: Callable[[list[int]], None] = lambda _: None
        self.before_decoding: Callable[[list[int]], None] = lambda _: None
        self.poisoned: set[int] = set()

    def row(self, request, watcher, began):
        self.before_beginning(request.seed)
        return super().row(request, watcher, began)

    def predict(self, rows):
        seeds = [row.request.seed for row in rows]
        self.batches.append(seeds)
        self.before(seeds)
        made = super().predict(rows)
        return [
            one * float("nan") if seed in self.poisoned else one
            for one, seed in zip(made, seeds, strict=True)
        ]

    def decode(self, rows):
        seeds = [row.request.seed for row in rows]
        self.decoded.append(seeds)
        self.before_decoding(seeds)
        self.latents |= {row.request.seed: row.latents for row in rows}
        return super().decode(rows)


class Heard:
    """A watcher that keeps all it hears, and leaves after so many steps."""

    def __init__(self, leaves_after: int = 1_000) -> None:
        self.steps: list[Progress] = []
        self.picture: Picture | None = None
        self.error: EngineError | None = None
        self.leaves_after = leaves_after

    def cancelled(self) -> bool:
        return len(self.steps) >= self.leaves_after

    def progress(self, progress: Progress) -> None:
        self.steps.append(progress)

    def finished(self, picture: Picture) -> None:
        self.picture = picture

    def failed(self, error: EngineError) -> None:
        self.error = error

    @property
    def outcome(self) -> str:
        assert (self.picture is None) != (self.error is None)
        return self.error.reason if self.error else "PICTURE"

    @property
    def sha256(self) -> str:
        assert self.picture
        return hashlib.sha256(self.picture.pixels.tobytes()).hexdigest()


class Bench:
    """One model and as many engines as checks want."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = Spied(directory)
        self.now = 0.0

    def engine(self, rows_max: int = 8, waiting_max: int = 64) -> Engine:
        self.model.reset()
        self.now = 0.0
        registry = self.registry(Profile(rows_max, 0.5))
        return Engine(registry, waiting_max, clock=lambda: self.now)

    def registry(self, profile: Profile) -> Registry:
        """Knows the one model; whatever else lies in its folder cannot be loaded."""

        def load(path: Path) -> Installed:
            if path != self.directory:
                raise OSError("broken")
            return Installed(self.model, profile)

        root, clock = self.directory.parent, lambda: self.now
        return Registry(root, self.directory.name, load, BYTES_MAX, clock, now)

    def run(self, engine: Engine, *asked: Asked, heard: list[Heard] | None = None) -> list[Heard]:
        watchers = heard or [Heard() for _ in asked]
        for one, watcher in zip(asked, watchers, strict=True):
            engine.submit(request(**one), watcher)
        while engine.step():
            self.now += 1
        return watchers

    def alone(self, asked: Asked) -> torch.Tensor:
        self.run(self.engine(), asked)
        return self.model.latents[asked["seed"]]


def request(**asked: Any) -> ImageRequest:
    return ImageRequest(**({"prompt": "a red mug"} | asked))


def refusal(engine: Engine, **asked: Any) -> dict[str, Any]:
    try:
        engine.submit(request(**asked), Heard())
    except EngineError as error:
        return vars(error) | {"reason": error.reason}
    return {}
