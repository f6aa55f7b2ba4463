"""What a model's folder says of itself in ``atelier.json``. Standard library only.

``{"steps": 30, "guidance_scale": 6.0, "qualities": {"best": {}, "standard": {"steps": 20}}}``: the
defaults of requests, and which qualities the model serves, with defaults of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FILE = "atelier.json"


@dataclass(frozen=True)
class Defaults:
    """What a request leaves open."""

    steps: int
    guidance_scale: float

    def said(self, words: Mapping[str, Any]) -> Defaults:
        """The same, but for what is said."""
        known = {
            "steps": int(words.get("steps", self.steps)),
            "guidance_scale": float(words.get("guidance_scale", self.guidance_scale)),
        }
        return replace(self, **known)


def read(directory: Path) -> dict[str, Any]:
    """Returns what the folder says; empty where it says nothing."""
    path = directory / FILE
    return dict(json.loads(path.read_text())) if path.exists() else {}


def qualities(directory: Path) -> dict[str, dict[str, Any]]:
    """Returns the qualities that a model serves, and what it changes for each."""
    return dict(read(directory).get("qualities", {}))
