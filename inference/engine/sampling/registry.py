"""The installed models: loaded when first asked for, unloaded when others need their memory."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar

from inference.engine import status
from inference.engine.errors import ModelFailed, UnknownModel
from inference.engine.models import defaults, installed
from inference.engine.models.model import Model
from inference.engine.request import ImageRequest
from inference.engine.sampling.profile import Profile, measure
from inference.engine.status import ModelStatus

log = logging.getLogger(__name__)

LOADS_MAX = 5
RETRY_SECONDS, RETRY_SECONDS_MAX = 10.0, 300.0
# What is left is for the rows: latents, activations, the decoder's.
_CARD_SHARE, _MEMORY_SHARE = 0.8, 0.5

Background = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Installed:
    """A model that is loaded and warm."""

    model: Model
    profile: Profile


@dataclass
class _Place:
    """What is known of one installed model."""

    loaded: Installed | None = None
    loading: bool = False
    failures: int = 0
    retry_at: float = 0.0
    failure: str = ""
    used: int = 0
    wanted: int = 0


def bytes_max(device: torch.device) -> int:
    """How much memory models may take by default."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * _CARD_SHARE)
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * _MEMORY_SHARE)


def loader(device: torch.device) -> Callable[[Path], Installed]:
    """Returns what loads and warms a model on a device."""

    def load(path: Path) -> Installed:
        disable_progress_bar()
        model = Model(path.name, path, device)
        return Installed(model, measure(model))

    return load


def on_a_thread(work: Callable[[], None]) -> None:
    """Does work beside the loop; a process that ends does not wait for it."""
    threading.Thread(target=work, name="loader", daemon=True).start()


class Registry:
    """All installed models by name.

    A model is loaded beside the loop, one at a time, by the first request that means it. Where
    memory is short those least recently used go first, never one with rows in flight. A load that
    fails is tried again after 10 s, doubling to 300, five times in all; then the model stays failed
    until the process is started anew.

    Args:
        root: Folder with one folder per model; looked at anew for every request.
        default: Which one is meant where a request names neither a model nor a quality.
        load: Loads and warms the model in a folder.
        size_bytes_max: How much memory all models together may take.
        clock: Seconds, monotonic.
        background: Has a load done beside the loop.
        number_bytes: Bytes of one number of a loaded model: 2 on a card, else 4.
    """

    def __init__(
        self,
        root: Path,
        default: str,
        load: Callable[[Path], Installed],
        size_bytes_max: int,
        clock: Callable[[], float] = time.monotonic,
        background: Background = on_a_thread,
        number_bytes: int = 4,
    ) -> None:
        self._root = root
        self._default = default
        self._load = load
        self._size_bytes_max = size_bytes_max
        self._clock = clock
        self._background = background
        self._number_bytes = number_bytes
        self._places: dict[str, _Place] = {}
        self._uses = 0
        self.changed: Callable[[], None] = lambda: None

    def preload(self) -> None:
        """Loads the default model on this thread; where it fails, requests will hear of it."""
        place = self._place(self._default)
        place.loading = True
        self._begin(self._default, place)

    def resolve(self, request: ImageRequest) -> str:
        """Returns the name of the model that a request means.

        By name; else the first that serves the quality, the default one before others; else the
        default one.

        Raises:
            UnknownModel: It is not installed.
            ModelFailed: It could not be loaded, and it is too early to try again.
        """
        paths = {path.name: path for path in installed.find(self._root)}
        name = request.model or self._for_quality(request.quality, paths)
        if name not in paths:
            raise UnknownModel(f"no model {name!r} is installed", field="model")
        self._refuse_failed(name)
        return name

    def ready(self, name: str, in_use: Collection[str]) -> Installed | None:
        """Returns a model, or has it loaded; None: not yet.

        Args:
            name: As resolved.
            in_use: Models with rows in flight, which must stay.

        Raises:
            ModelFailed: It could not be loaded, or is too big.
        """
        place = self._place(name)
        if place.loaded is None:
            self._refuse_failed(name)
            if place.loading or self._loading or not self._make_room(name, in_use):
                return None
            place.loading = True
            self._background(lambda: self._begin(name, place))
        self._uses += 1
        place.used = self._uses
        if place.loaded is None:
            self._refuse_failed(name)
        return place.loaded

    def crowded(self, name: str) -> bool:
        """Whether a model waits for others to be done rather than for its own loading."""
        place = self._place(name)
        return place.loaded is None and not place.loading and not self._loading

    def get(self, name: str) -> Installed:
        """Returns a model that has rows in flight."""
        found = self._places[name].loaded
        assert found is not None, name
        return found

    def seen(self, name: str) -> Installed | None:
        """Returns a model if it is loaded, without having it loaded."""
        return self._place(name).loaded

    def statuses(self, rows: Mapping[str, int]) -> dict[str, ModelStatus]:
        """How every installed model is, given how many rows of each are in flight."""
        names = {path.name for path in installed.find(self._root)} | {self._default}
        return {name: self._status(name, rows.get(name, 0)) for name in sorted(names)}

    @property
    def _loading(self) -> bool:
        return any(place.loading for place in list(self._places.values()))

    def _place(self, name: str) -> _Place:
        return self._places.setdefault(name, _Place())

    def _for_quality(self, quality: str, paths: Mapping[str, Path]) -> str:
        if not quality:
            return self._default
        own_first = sorted(paths, key=lambda name: (name != self._default, name))
        serving = (name for name in own_first if quality in defaults.qualities(paths[name]))
        return next(serving, self._default)

    def _refuse_failed(self, name: str) -> None:
        place = self._place(name)
        if not place.failures or place.loaded or place.loading:
            return
        message = f"the model {name!r} could not be loaded: {place.failure}"
        if place.failures >= LOADS_MAX:
            raise ModelFailed(message)
        wait = place.retry_at - self._clock()
        if wait > 0:
            raise ModelFailed(message, retry_after_seconds=wait)

    def _make_room(self, name: str, in_use: Collection[str]) -> bool:
        """Unloads what is needed for a model to fit; False: what is in the way is in use."""
        wanted = self._wanted(name)
        if wanted > self._size_bytes_max:
            wish = f"needs {wanted:,} bytes of {self._size_bytes_max:,}"
            self._fail(self._place(name), wish)
            self._refuse_failed(name)
        held = {
            other: place.loaded.model.size_bytes
            for other, place in self._places.items()
            if place.loaded
        }
        idle = sorted(set(held) - set(in_use), key=lambda other: self._places[other].used)
        excess = sum(held.values()) + wanted - self._size_bytes_max
        if excess > sum(held[other] for other in idle):
            return False
        for other in idle:
            if excess <= 0:
                break
            excess -= held[other]
            self._unload(other)
        return True

    def _wanted(self, name: str) -> int:
        """How many bytes a model will take; looked up once."""
        place = self._place(name)
        if not place.wanted:
            try:
                place.wanted = installed.parameters(self._root / name) * self._number_bytes
            except (OSError, ValueError, TypeError, KeyError):
                return 0  # its loading will say what is wrong
        return place.wanted

    def _unload(self, name: str) -> None:
        log.info("%s is unloaded to make room", name)
        self._places[name].loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _begin(self, name: str, place: _Place) -> None:
        try:
            place.loaded = self._load(self._root / name)
            place.failures, place.failure = 0, ""
        except Exception as error:
            log.exception("the model %s could not be loaded", name)
            self._fail(place, type(error).__name__)
        finally:
            place.loading = False
            self.changed()

    def _fail(self, place: _Place, why: str) -> None:
        place.failures += 1
        place.failure = why
        pause = min(RETRY_SECONDS * 2 ** (place.failures - 1), RETRY_SECONDS_MAX)
        place.retry_at = self._clock() + pause

    def _status(self, name: str, rows: int) -> ModelStatus:
        place = self._place(name)
        if place.loaded is not None:
            state = status.BUSY if rows else status.READY
            return ModelStatus(state, rows, place.loaded.model.size_bytes)
        if place.loading:
            return ModelStatus(status.STARTING)
        if place.failures:
            return ModelStatus(status.FAILED, failure=place.failure)
        return ModelStatus(status.UNLOADED)
