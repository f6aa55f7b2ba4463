"""The installed segmenters: loaded when first asked for, unloaded when others need their memory."""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inference.engine import status
from inference.engine.device import default_device, total_bytes
from inference.engine.errors import ModelFailed, UnknownModel
from inference.engine.memory import split
from inference.engine.segmentation.cache import ByteCache
from inference.engine.segmentation.installed import find, read_traits, weights_bytes
from inference.engine.segmentation.segmenter import Embedding, Segmenter, Text
from inference.engine.status import ModelStatus

log = logging.getLogger(__name__)

TEXTS_BYTES_MAX = 16 << 20
RETRY_SECONDS, RETRY_SECONDS_MAX = 10.0, 300.0
_WARM_UP_PX = 64


@dataclass(frozen=True, eq=False)
class Installed:
    """A segmenter that is loaded, and what it remembers.

    Attributes:
        name: Its name.
        segmenter: The model.
        embeddings: By the SHA-256 of a picture's file.
        texts: By the words that the model was given.
    """

    name: str
    segmenter: Segmenter
    embeddings: ByteCache[str, Embedding]
    texts: ByteCache[str, Text]


@dataclass(frozen=True)
class _Failure:
    why: str
    times: int
    retry_at: float


Load = Callable[[Path], Segmenter]


class Segmenters:
    """All installed segmenters by name.

    One is loaded by the first request that means it, on the engine's thread: a library that loads
    changes torch's defaults for the whole process, which no call should meet. Where memory is
    short those least recently used go first, never one at work; one that is larger than all that
    may be held is loaded alone. What cannot be loaded is tried again after 10 s, doubling to 300.

    Args:
        loaded: Those that are loaded already.
        root: Folder with one folder per model, looked at anew for every request; None: there are
            only those.
        load: Loads the model in a folder.
        bytes_max: Of the weights of all that are loaded.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        loaded: Mapping[str, Installed],
        root: Path | None = None,
        load: Load = Segmenter.load,
        bytes_max: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loaded = dict(loaded)
        self._used = dict.fromkeys(loaded, 0)
        self._uses = 0
        self._root = root
        self._load = load
        self._bytes_max = bytes_max
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._loads: Counter[str] = Counter()

    @classmethod
    def load(cls, root: Path, load: Load) -> Segmenters:
        """Loads and warms the default one below ``root``; where it fails, requests hear of it."""
        segmenters = cls({}, root, load, bytes_max(default_device()))
        names = segmenters.names
        if names:
            segmenters._begin(names[0])
        return segmenters

    @property
    def names(self) -> list[str]:
        """Of all that are installed, by name; the first is the default."""
        folders = find(self._root) if self._root else []
        return sorted({path.name for path in folders} | set(self._loaded))

    def resolve(self, name: str) -> str:
        """Returns the name of the segmenter that a request means; from any thread.

        Raises:
            UnknownModel: It is not installed, or none is.
            ModelFailed: It could not be loaded a short while ago; says when to come back.
        """
        names = self.names
        if not names:
            raise UnknownModel("no segmenter is installed", field="model")
        name = name or names[0]
        if name not in names:
            raise UnknownModel(f"no segmenter {name!r} is installed", field="model")
        self._refuse_failed(name)
        return name

    def languages(self, name: str) -> tuple[str, ...]:
        """In which an installed one understands concepts; from any thread."""
        held = self._loaded.get(name)
        if held is not None:
            return held.segmenter.traits.languages
        assert self._root
        return read_traits(self._root / name).languages

    def seen(self, name: str) -> Installed | None:
        """Returns a segmenter if it is loaded."""
        return self._loaded.get(name)

    def ready(self, name: str, in_use: Collection[str] = ()) -> Installed | None:
        """Returns a segmenter, loaded here if need be; None: what is in its way is at work.

        Args:
            name: As resolved.
            in_use: Those with requests at work, which must stay.

        Raises:
            ModelFailed: It could not be loaded, now or a short while ago.
        """
        if name not in self._loaded:
            self._refuse_failed(name)
            if not self._make_room(name, in_use):
                return None
            self._begin(name)
            self._refuse_failed(name)
        self._uses += 1
        self._used[name] = self._uses
        return self._loaded[name]

    def statuses(self, rows: Mapping[str, int]) -> dict[str, ModelStatus]:
        """How every one is, given how many requests each has at work; from any thread."""
        return {name: self._status(name, rows.get(name, 0)) for name in self.names}

    def _status(self, name: str, rows: int) -> ModelStatus:
        held, failure = self._loaded.get(name), self._failures.get(name)
        if held is not None:
            state = status.BUSY if rows else status.READY
            return ModelStatus(state, rows, held.segmenter.size_bytes, loads=self._loads[name])
        if failure is not None:
            return ModelStatus(status.FAILED, failure=failure.why, loads=self._loads[name])
        return ModelStatus(status.UNLOADED, loads=self._loads[name])

    def _refuse_failed(self, name: str) -> None:
        failure = self._failures.get(name)
        wait = failure.retry_at - self._clock() if failure else 0
        if failure and wait > 0:
            message = f"the segmenter {name!r} could not be loaded: {failure.why}"
            raise ModelFailed(message, retry_after_seconds=wait)

    def _make_room(self, name: str, in_use: Collection[str]) -> bool:
        """Unloads what is needed for a segmenter to fit; False: what is in the way is in use."""
        assert self._root
        held = {other: each.segmenter.size_bytes for other, each in self._loaded.items()}
        excess = sum(held.values()) + weights_bytes(self._root / name) - self._bytes_max
        idle = sorted(set(held) - set(in_use), key=lambda each: self._used[each])
        while idle and excess > 0:
            other = idle.pop(0)
            log.info("%s is unloaded to make room", other)
            del self._loaded[other]
            excess -= held[other]
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return excess <= 0 or not self._loaded

    def _begin(self, name: str) -> None:
        assert self._root
        try:
            segmenter = self._load(self._root / name)
            grey = np.full((_WARM_UP_PX, _WARM_UP_PX, 3), 128, np.uint8)
            segmenter.find(grey, ["a warm-up"])
        except Exception as error:
            log.exception("the segmenter %s could not be loaded", name)
            times = self._failures[name].times + 1 if name in self._failures else 1
            pause = min(RETRY_SECONDS * 2 ** (times - 1), RETRY_SECONDS_MAX)
            self._failures[name] = _Failure(type(error).__name__, times, self._clock() + pause)
            return
        self._failures.pop(name, None)
        self._used[name] = self._uses
        self._loaded[name] = installed(name, segmenter)
        self._loads[name] += 1
        log.info("%s is ready", name)


def bytes_max(device: torch.device) -> int:
    """How much memory the weights of all segmenters may take."""
    return split(total_bytes(device), device.type).segmenters


def loader(device: torch.device) -> Load:
    """Returns what loads a segmenter on a device."""
    return lambda path: Segmenter.load(path, device)


def installed(name: str, segmenter: Segmenter, bytes_max: int | None = None) -> Installed:
    """A segmenter that remembers nothing yet.

    Args:
        name: Its name.
        segmenter: The model.
        bytes_max: Of embeddings; None: as the setting says, or by the device.
    """
    if bytes_max is None:
        device = segmenter.device
        bytes_max = split(total_bytes(device), device.type).embeddings
    return Installed(name, segmenter, ByteCache(bytes_max), ByteCache(TEXTS_BYTES_MAX))
