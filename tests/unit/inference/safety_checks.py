"""The local safety check and the engine behind one, on a tiny CLIP that knows one concept."""

from __future__ import annotations

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


def save(directory: Path, threshold: float) -> None:
    """A check with one concept, that of a bright picture, and how near to it is too near."""
    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    model = StableDiffusionSafetyChecker(
        CLIPConfig(
            vision_config=small | {"image_size": SIDE, "patch_size": 16},
            text_config=small | {"vocab_size": 16},
            projection_dim=8,
        )
    )
    bright = np.full((SIDE, SIDE, 3), 250, np.uint8)
    with torch.no_grad():
        pixels = torch.from_numpy(bright).permute(2, 0, 1)[None].float() / 255
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
        std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
        embedding = model.visual_projection(model.vision_model((pixels - mean) / std)[1])
        model.concept_embeds[:] = -embedding
        model.concept_embeds[0] = embedding[0]
        model.concept_embeds_weights[:] = threshold
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
