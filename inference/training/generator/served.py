"""One picture through the loop that serves, stepped by hand; needs all that the engine needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from inference.engine.errors import EngineError
from inference.engine.models.model import Model
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import Profile
from inference.engine.sampling.registry import Installed, Registry


def asking(root: Path, name: str, side_px: int) -> Callable[[ImageRequest], None]:
    """What draws a request with the model `name` of the folder `root`, and returns when done."""
    model = Model(name, root / name, torch.device("cpu"))
    model.base_px = side_px
    installed = Installed(model, Profile(2, 1.0))
    registry = Registry(root, name, lambda _: installed, 1 << 40, background=lambda work: work())
    engine = Engine(registry)

    def ask(request: ImageRequest) -> None:
        watcher = _Watcher()
        engine.submit(request, watcher)
        while engine.step():
            pass
        if watcher.error:
            raise watcher.error

    return ask


class _Watcher:
    """Waits for a picture, looks at none, and remembers why there was none."""

    def __init__(self) -> None:
        self.error: EngineError | None = None

    def cancelled(self) -> bool:
        """Never."""
        return False

    def progress(self, progress: Progress) -> None:
        """Takes no notice."""

    def finished(self, picture: Picture) -> None:
        """Takes no notice."""

    def failed(self, error: EngineError) -> None:
        """Remembers what went wrong."""
        self.error = error
