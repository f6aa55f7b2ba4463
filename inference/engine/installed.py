"""Which models are installed: the folders below one root that hold a pipeline.

Standard library only.
"""

from __future__ import annotations

import json
from pathlib import Path

DESCRIPTION = "model_index.json"
PIPELINE = "StableDiffusionXLPipeline"
MODELS_MAX = 16


def find(root: Path) -> list[Path]:
    """Returns the folders of installed models, by name."""
    described = sorted(root.glob(f"*/{DESCRIPTION}"))[:MODELS_MAX]
    return [p.parent for p in described if json.loads(p.read_text())["_class_name"] == PIPELINE]
