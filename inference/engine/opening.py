"""An engine from its settings, the same wherever it runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from inference.engine.device import default_device, total_bytes
from inference.engine.loop import Pulse
from inference.engine.memory import split
from inference.engine.safety.local import Local
from inference.engine.safety.port import Check, Off
from inference.engine.sampling.engine import WAITING_MAX, Engine
from inference.engine.sampling.registry import Registry, loader

log = logging.getLogger(__name__)

LOCAL, EXTERNAL = "local", "external"
SAFETY = ("", "off", LOCAL, EXTERNAL)


@dataclass(frozen=True)
class Options:
    """Settings of an engine.

    Attributes:
        models: Folder with one folder per model.
        default_model: Which one is meant where a request names neither a model nor a quality; it is
            loaded before the first request.
        waiting_max: Rows that may wait.
        model_bytes_max: Memory that all models together may take; 0: half of the card's, or of the
            machine's without one.
        safety: ``local`` has every picture checked here; ``external`` says that whoever hands the
            pictures on has them checked; ``off`` or empty: nobody checks them.
        safety_dir: The model of that check.
    """

    models: Path
    default_model: str
    waiting_max: int = WAITING_MAX
    model_bytes_max: int = 0
    safety: str = ""
    safety_dir: Path | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], served: bool = False) -> Self:
        """Reads them from the environment of a process that has no settings of its own.

        Args:
            environment: ``ATELIER_`` variables.
            served: Whether the service stands before the engine, which asks an external check.

        Raises:
            ValueError: ATELIER_MODELS_DIR or ATELIER_DEFAULT_MODEL is missing, a number is none, or
                nobody here could ask the check that is wanted.
        """
        for name in ("ATELIER_MODELS_DIR", "ATELIER_DEFAULT_MODEL"):
            if not environment.get(name):
                raise ValueError(f"{name} must be set")
        safety_dir = environment.get("ATELIER_SAFETY_DIR", "")
        if environment.get("ATELIER_SAFETY") == EXTERNAL and not served:
            raise ValueError("ATELIER_SAFETY=external is asked by the service only; here: local")
        return cls(
            Path(environment["ATELIER_MODELS_DIR"]),
            environment["ATELIER_DEFAULT_MODEL"],
            int(environment.get("ATELIER_WAITING_MAX", WAITING_MAX)),
            int(environment.get("ATELIER_MODEL_BYTES_MAX", 0)),
            environment.get("ATELIER_SAFETY", ""),
            Path(safety_dir) if safety_dir else None,
        )


def open_engine(options: Options, loading: Pulse | None = None) -> Engine:
    """Makes an engine whose default model is loaded, if it can be.

    Args:
        options: Of the engine.
        loading: Beaten between the parts of a load; of whoever wonders whether this one goes on.

    Raises:
        ValueError: No such check is known, or its model is not named.
    """
    check = _check(options)
    device = default_device()
    shared = split(total_bytes(device), device.type)
    if shared.left < 0:
        log.warning("settings give away %d bytes more than there are", -shared.left)
    size = options.model_bytes_max or shared.models
    number_bytes = 2 if device.type == "cuda" else 4
    loading = loading or Pulse()
    registry = Registry(
        options.models,
        options.default_model,
        loader(device, loading),
        size,
        number_bytes=number_bytes,
        loading=loading,
    )
    engine = Engine(registry, options.waiting_max, check=check)
    registry.preload()
    return engine


def _check(options: Options) -> Check:
    if options.safety not in SAFETY:
        # A word misspelt must not mean that nobody looks.
        raise ValueError(f"ATELIER_SAFETY={options.safety}: none of {', '.join(SAFETY[1:])}")
    if options.safety != LOCAL:
        return Off()
    if options.safety_dir is None:
        raise ValueError("ATELIER_SAFETY=local needs ATELIER_SAFETY_DIR")
    return Local(options.safety_dir, default_device())
