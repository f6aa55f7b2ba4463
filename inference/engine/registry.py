"""The installed models, loaded and warm."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar

from inference.engine.errors import ModelFailed, UnknownModel
from inference.engine.installed import find
from inference.engine.model import Model
from inference.engine.profile import Profile, measure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Installed:
    """A model that is loaded and warm."""

    model: Model
    profile: Profile


class Registry:
    """All installed models by name.

    Args:
        models: The loaded ones; None: could not be loaded.
        default: Which one is meant where a request names none.
    """

    def __init__(self, models: dict[str, Installed | None], default: str) -> None:
        self._models = models
        self._default = default

    @classmethod
    def load(cls, root: Path, default: str, device: torch.device) -> Registry:
        """Loads and warms every model below ``root``; one that cannot be loaded fails alone."""
        disable_progress_bar()
        return cls({path.name: _load(path, device) for path in find(root)}, default)

    def get(self, name: str) -> Installed:
        """Returns a model by name, or the default one for an empty name.

        Raises:
            UnknownModel: It is not installed.
            ModelFailed: It is installed but could not be loaded.
        """
        name = name or self._default
        if name not in self._models:
            raise UnknownModel(f"no model {name!r} is installed", field="model")
        installed = self._models[name]
        if installed is None:
            raise ModelFailed(f"the model {name!r} could not be loaded")
        return installed


def _load(path: Path, device: torch.device) -> Installed | None:
    try:
        model = Model(path.name, path, device)
        return Installed(model, measure(model))
    except Exception:
        log.exception("the model %s could not be loaded", path.name)
        return None
