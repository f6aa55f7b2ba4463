"""Which models are installed: the folders below one root that hold a pipeline.

Standard library only.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

DESCRIPTION = "model_index.json"
SDXL, SDXL_PAINTING = "StableDiffusionXLPipeline", "StableDiffusionXLInpaintPipeline"
FLUX = "FluxPipeline"
PIPELINES = (SDXL, SDXL_PAINTING, FLUX)
MODELS_MAX = 16
ADAPTERS = "loras"
_COPY, _HEAD_BYTES_MAX = ".fp16.", 100 << 20


def kind(directory: Path) -> str:
    """Returns the class of a folder's pipeline."""
    return str(json.loads((directory / DESCRIPTION).read_text())["_class_name"])


def find(root: Path) -> list[Path]:
    """Returns the folders of installed models, by name."""
    described = sorted(root.glob(f"*/{DESCRIPTION}"))[:MODELS_MAX]
    return [path.parent for path in described if _known(path.parent)]


def _known(directory: Path) -> bool:
    try:
        return kind(directory) in PIPELINES
    except (OSError, ValueError, KeyError):
        return False  # half copied, or another's: no reason to refuse the rest


def parameters(directory: Path) -> int:
    """Returns how many numbers a model's weights are, without its adapters.

    Read from the heads of the files that are loaded: not from a whole model in one file beside the
    parts, nor from a second copy of the parts in half precision, both of which are often there.
    """
    files = (file for file in directory.glob("*/**/*.safetensors") if _COPY not in file.name)
    own = (file for file in files if ADAPTERS not in file.relative_to(directory).parts)
    return sum(numbers(file) for file in own)


def numbers(file: Path) -> int:
    """Returns how many numbers one file of weights has.

    (github.com/huggingface/safetensors: a length, JSON, the weights.)
    """
    with file.open("rb") as opened:
        length = min(int.from_bytes(opened.read(8), "little"), _HEAD_BYTES_MAX)
        head = json.loads(opened.read(length))
    head.pop("__metadata__", None)
    return sum(math.prod(each["shape"]) for each in head.values())
