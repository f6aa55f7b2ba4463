"""The local safety check and the engine behind one, on a tiny CLIP that knows one concept.

``python -m tests.unit.inference.safety_checks FOLDER`` saves one that tells three pictures apart.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import CLIPConfig

from inference.engine.errors import CheckFailed, EngineError
from inference.engine.safety.local import Local
from inference.engine.safety.port import Check, Off
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import Profile
from tests.unit.inference.engine_bench import CPU, Bench

SIDE = 32


def _tiny() -> StableDiffusionSafetyChecker:
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    return StableDiffusionSafetyChecker(
        CLIPConfig(
            vision_config=small | {"image_size": SIDE, "patch_size": 16},
            text_config=small | {"vocab_size": 16},
            projection_dim=8,
        )
    )


def _pooled(model: StableDiffusionSafetyChecker, left: int, right: int) -> torch.Tensor:
    """What the model sees (16) in a picture of two halves."""
    picture = np.full((SIDE, SIDE, 3), left, np.uint8)
    picture[:, SIDE // 2 :] = right
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    return model.vision_model((pixels - mean) / std)[1][0]


def _know(model: StableDiffusionSafetyChecker, seen: torch.Tensor, threshold: float) -> None:
    """Has a check know one concept, and how near to it is too near."""
    embedding = model.visual_projection(seen)
    model.concept_embeds[:] = -embedding
    model.concept_embeds[0] = embedding
    model.concept_embeds_weights[:] = threshold


@torch.no_grad()
def save(directory: Path, threshold: float) -> None:
    """A check with one concept, that of a bright picture, and how near to it is too near."""
    model = _tiny()
    _know(model, _pooled(model, 250, 250), threshold)
    model.save_pretrained(directory)


@torch.no_grad()
def save_of_three_minds(directory: Path) -> None:
    """A check that allows dark pictures, refuses half dark ones and has no verdict on bright ones.

    Of all that it sees one number is weighed so that a bright picture's is beyond all numbers.
    """
    model = _tiny()
    dark, half, bright = (_pooled(model, *each) for each in ((5, 5), (250, 5), (250, 250)))
    signs = bright.sign()
    others = torch.maximum(signs * dark, signs * half)
    middles = (signs * bright + others) / 2
    at = int(torch.where(middles > 0, signs * bright - others, 0).argmax())
    middle = float(middles[at])
    likeness = torch.cosine_similarity(*map(model.visual_projection, (dark, half)), dim=0)
    model.visual_projection.weight[:, at] = 0.0  # times infinity that is no number, else nothing
    _know(model, half, (1 + float(likeness)) / 2)
    last = model.vision_model.post_layernorm
    most = torch.finfo(torch.float32).max
    last.weight[at] = signs[at] * most / 5
    last.bias[at] = most * (1 - middle / 5)
    model.save_pretrained(directory)


def judged(check: Check) -> list[dict[str, Any]]:
    """Verdicts of a bright picture and of a dark one."""
    return [vars(check.judge(np.full((40, 56, 3), level, np.uint8), "a mug")) for level in (250, 5)]


class Breaking:
    """A check that gives no verdict, in one way or the other."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def judge(self, pixels: np.ndarray, prompt: str) -> Any:
        raise self._error


def ends(bench: Bench, check: Check) -> list[Any]:
    """How two rows end behind a check, and what the pictures carry."""
    engine = Engine(bench.registry(Profile(4, 0.5)), clock=lambda: bench.now, check=check)
    heard = bench.run(engine, {"seed": 1, "steps": 2}, {"seed": 2, "steps": 3})
    return [one.picture.verdict.check if one.picture else one.outcome for one in heard]


def safety(bench: Bench) -> dict[str, Any]:
    """What the checks say, and how rows end behind them."""
    root = bench.directory.parent / "checks"
    for name, threshold in (("strict", 0.9), ("everything", -1.5), ("broken", float("nan"))):
        save(root / name, threshold)
    strict, everything, broken = (
        Local(root / name, CPU) for name in ("strict", "everything", "broken")
    )
    try:
        broken.judge(np.zeros((8, 8, 3), np.uint8), "")
        refused = ""
    except EngineError as error:
        refused = error.reason
    return {
        "off": judged(Off()),
        "local": judged(strict),
        "broken": refused,
        "rows_off": ends(bench, Off()),
        "rows_refused": ends(bench, everything),
        "rows_unchecked": ends(bench, Breaking(CheckFailed("away"))),
        "rows_crashed": ends(bench, Breaking(KeyError("oops"))),
        "rows_nan": ends(bench, broken),
    }


CHECKS = (safety,)


if __name__ == "__main__":
    save_of_three_minds(Path(sys.argv[1]))
