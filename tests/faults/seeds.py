"""Where randomness begins: SEED where it is set, else the commit, so that CI repeats itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def seed() -> int:
    """Returns the seed of a test run; without SEED and outside a checkout, 0."""
    if given := os.environ.get("SEED"):
        return int(given)
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return int(asked.stdout[:8] or "0", 16)
