"""From pictures and phrases to instances, with Sam3Model as it is; no torchvision.

transformers' own Sam3 image processor imports torchvision; this one does the same with Pillow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer, Sam3Model

CONFIG_NAME = "preprocessor_config.json"
SCORE_MIN = 0.5
PROMPTS_MAX = 16  # asked at once


@dataclass(frozen=True)
class Found:
    """What a phrase names in a picture: masks bool (n, H, W), best first, with scores (n,).

    `semantic` bool (H, W) is everything that the phrase names, `presence` (0-1) whether it is
    there at all.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    semantic: NDArray[np.bool_]
    presence: float


class Segmenter:
    """A model folder: `Sam3Model` weights, tokenizer and preprocessor configuration."""

    def __init__(self, model: Sam3Model, tokenizer: CLIPTokenizer, side_px: int) -> None:
        self._model, self._tokenizer, self._side_px = model, tokenizer, side_px

    @classmethod
    def load(cls, folder: Path) -> Segmenter:
        """Reads the folder; computes in float32 whatever the weights were saved in."""
        model = Sam3Model.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        return cls(model.eval(), tokenizer, int(config["size"]["height"]))

    @torch.no_grad()
    def find(self, picture: NDArray[np.uint8], phrases: Sequence[str]) -> list[Found]:
        """Every phrase in a picture uint8 (H, W, 3); masks are of the picture's size."""
        vision = self._model.get_vision_features(self._pixels(picture))
        found: list[Found] = []
        for start in range(0, len(phrases), PROMPTS_MAX):
            found += self._ask(vision, phrases[start : start + PROMPTS_MAX], picture.shape[:2])
        return found

    def _ask(self, vision: object, phrases: Sequence[str], size: tuple[int, ...]) -> list[Found]:
        tokens = self._tokenizer(list(phrases), padding=True, truncation=True, return_tensors="pt")
        times = len(phrases)
        for name in ("fpn_hidden_states", "fpn_position_encoding"):
            # The model repeats nothing by itself: one picture, several prompts.
            levels = tuple(level[:1].expand(times, -1, -1, -1) for level in getattr(vision, name))
            setattr(vision, name, levels)
        answer = self._model(
            vision_embeds=vision,
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
        )
        presence = answer.presence_logits[:, 0].sigmoid()
        scores = answer.pred_logits.sigmoid() * presence[:, None]
        return [
            _found(
                answer.pred_masks[row],
                scores[row],
                answer.semantic_seg[row],
                float(presence[row]),
                size,
            )
            for row in range(times)
        ]

    def _pixels(self, picture: NDArray[np.uint8]) -> Tensor:
        side = (self._side_px, self._side_px)
        resized = Image.fromarray(picture).resize(side, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].float() / 127.5 - 1


def _found(
    masks: Tensor, scores: Tensor, semantic: Tensor, presence: float, size: tuple[int, ...]
) -> Found:
    order = scores.argsort(descending=True)
    order = order[scores[order] > SCORE_MIN]
    planes = torch.cat([masks[order], semantic])[None]
    grown = functional.interpolate(planes, size, mode="bilinear", align_corners=False)[0] > 0
    return Found(grown[:-1].numpy(), scores[order].numpy(), grown[-1].numpy(), presence)
