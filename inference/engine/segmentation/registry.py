"""The installed segmenters, loaded and warm."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inference.engine.errors import ModelFailed, UnknownModel
from inference.engine.segmentation.cache import ByteCache
from inference.engine.segmentation.installed import find
from inference.engine.segmentation.segmenter import Embedding, Segmenter, Text

log = logging.getLogger(__name__)

CACHE_SETTING = "ATELIER_SEGMENT_CACHE_BYTES"
# SAM3 takes 54 MB for a picture: so much is a set of nine, or of forty on a card.
EMBEDDINGS_BYTES_MAX = {"cpu": 512 << 20, "cuda": 2 << 30}
TEXTS_BYTES_MAX = 16 << 20
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


Load = Callable[[Path], Segmenter]


class Segmenters:
    """All installed segmenters by name.

    Args:
        models: The loaded ones; None: could not be loaded.
    """

    def __init__(self, models: dict[str, Installed | None]) -> None:
        self._models = models

    @classmethod
    def load(cls, root: Path, load: Load) -> Segmenters:
        """Loads and warms every segmenter below ``root``; one that cannot be loaded fails alone."""
        return cls({path.name: _load(path, load) for path in find(root)})

    def get(self, name: str) -> Installed:
        """Returns a segmenter by name, or the first one for an empty name.

        Raises:
            UnknownModel: It is not installed, or none is.
            ModelFailed: It is installed but could not be loaded.
        """
        if not self._models:
            raise UnknownModel("no segmenter is installed", field="model")
        name = name or min(self._models)
        if name not in self._models:
            raise UnknownModel(f"no segmenter {name!r} is installed", field="model")
        installed = self._models[name]
        if installed is None:
            raise ModelFailed(f"the segmenter {name!r} could not be loaded")
        return installed


def default_device() -> torch.device:
    """The card where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
        usual = EMBEDDINGS_BYTES_MAX[segmenter.device.type]
        bytes_max = int(os.environ.get(CACHE_SETTING, usual))
    return Installed(name, segmenter, ByteCache(bytes_max), ByteCache(TEXTS_BYTES_MAX))


def _load(path: Path, load: Load) -> Installed | None:
    try:
        segmenter = load(path)
        grey = np.full((_WARM_UP_PX, _WARM_UP_PX, 3), 128, np.uint8)
        segmenter.find(grey, ["a warm-up"])
    except Exception:
        log.exception("the segmenter %s could not be loaded", path.name)
        return None
    log.info("%s is ready", path.name)
    return installed(path.name, segmenter)
