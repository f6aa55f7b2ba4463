"""Which segmenters are installed: folders with a Sam3 configuration. Standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.engine.segmentation.request import SCORE_MIN

CONFIG = "config.json"
KINDS = ("sam3", "sam3_video")  # the official folder holds a video model, of which we use a part
SEGMENTERS_MAX = 4
_SIDE_PX = 1008
# The vocabulary of OpenAI's CLIP, which was trained on English.
_ENGLISH_VOCABULARY = 49_408


def find(root: Path) -> list[Path]:
    """Returns the folders of installed segmenters, by name."""
    described = sorted(root.glob(f"*/{CONFIG}"))
    return [path.parent for path in described if _read(path).get("model_type") in KINDS][
        :SEGMENTERS_MAX
    ]


@dataclass(frozen=True)
class Traits:
    """What a folder says of its model.

    Attributes:
        side_px: Pictures are scaled to a square of this side.
        mean: Subtracted from each channel's 0 to 1.
        deviation: Each channel is divided by it after that.
        score_min: The score from which on an instance counts, where a request leaves it open.
        languages: "en", "ko": in which the model understands concepts.
    """

    side_px: int
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
    score_min: float = SCORE_MIN
    languages: tuple[str, ...] = ("en", "ko")


def read_traits(folder: Path) -> Traits:
    """Reads what a picture must become and, from ``atelier.json``, what a request leaves open.

    Older folders have ``preprocessor_config.json``, newer ones the same within
    ``processor_config.json``.
    """
    wanted = _read(folder / "processor_config.json").get("image_processor")
    wanted = wanted or _read(folder / "preprocessor_config.json")
    own = _read(folder / "atelier.json")
    return Traits(
        side_px=int(wanted.get("size", {}).get("height", _SIDE_PX)),
        mean=tuple(wanted.get("image_mean", Traits.mean)),
        deviation=tuple(wanted.get("image_std", Traits.deviation)),
        score_min=float(own.get("score_min", Traits.score_min)),
        languages=tuple(own.get("languages") or _languages(_read(folder / CONFIG))),
    )


def weights_bytes(folder: Path) -> int:
    """How much memory its weights will take, by their files; on a card it may be half of that."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _languages(config: dict[str, Any]) -> tuple[str, ...]:
    config = config.get("detector_config") or config
    words = (config.get("text_config") or {}).get("vocab_size", _ENGLISH_VOCABULARY)
    return ("en",) if words == _ENGLISH_VOCABULARY else ("en", "ko")


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # half copied, or another's: no reason to refuse the rest
    return said if isinstance(said, dict) else {}
