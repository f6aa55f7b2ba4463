"""From pictures and phrases to masks, with transformers' Sam3Model as it is; no torchvision.

transformers' own Sam3 image processor imports torchvision; this one does the same with Pillow. A
picture is looked at once (:meth:`Segmenter.embed`), a phrase read once (:meth:`Segmenter.read`);
pairs of the two are then asked together, whatever pictures they belong to.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer, Sam3Model
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from inference.engine.segmentation.installed import Traits, read_traits
from inference.engine.segmentation.request import MASK_THRESHOLD, SCORE_MIN

log = logging.getLogger(__name__)

CONFIG_NAME = "preprocessor_config.json"
PROMPTS_MAX = 16  # asked at once
_GROWN_FLOATS_MAX = 16 << 20  # 64 MiB of masks at the picture's size at once


@dataclass(frozen=True)
class Planes:
    """What a phrase names in a picture: masks bool (n, H, W), best first, with scores (n,).

    `semantic` bool (H, W) is everything that the phrase names, `presence` (0-1) whether it is
    there at all.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    semantic: NDArray[np.bool_]
    presence: float


@dataclass(frozen=True, eq=False)
class Embedding:
    """A picture as the model has seen it.

    Attributes:
        levels: Of the pyramid, each (width, h, w), without the coarsest, which is never read.
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
    """

    levels: tuple[Tensor, ...]
    height: int
    width: int

    @property
    def size_bytes(self) -> int:
        """How much memory it takes."""
        return sum(level.nbytes for level in self.levels)


@dataclass(frozen=True, eq=False)
class Text:
    """A phrase as the model has read it: features (tokens, width)."""

    features: Tensor

    @property
    def size_bytes(self) -> int:
        """How much memory it takes."""
        return self.features.nbytes


@dataclass(frozen=True, eq=False)
class Answer:
    """What a phrase gets on a picture: scores (Q,), masks (Q, h, w) and semantic (h, w) logits."""

    scores: Tensor
    masks: Tensor
    semantic: Tensor
    presence: float

    @property
    def sound(self) -> bool:
        """Whether all of it are numbers."""
        parts = (self.scores, self.masks, self.semantic)
        return math.isfinite(self.presence) and all(bool(p.isfinite().all()) for p in parts)


class Segmenter:
    """A model folder: `Sam3Model` weights, tokenizer and preprocessor configuration.

    Attributes:
        traits: What the folder says of it.
        size_bytes: How much memory its weights take.
    """

    def __init__(
        self,
        model: Sam3Model,
        tokenizer: CLIPTokenizer,
        side_px: int,
        traits: Traits | None = None,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self.traits = traits or Traits(side_px)
        self.size_bytes = sum(each.nbytes for each in model.parameters())
        self._positions: tuple[Tensor, ...] = ()

    @classmethod
    def load(cls, folder: Path, device: torch.device | None = None) -> Segmenter:
        """Reads the folder; computes in bfloat16 on a card, elsewhere in float32."""
        device = device or torch.device("cpu")
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = Sam3Model.from_pretrained(folder, local_files_only=True, dtype=dtype)
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        traits = read_traits(folder)
        return cls(model.eval().to(device), tokenizer, traits.side_px, traits)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._model.device

    @torch.no_grad()
    def embed(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Embedding]:
        """Looks at pictures, uint8 (H, W, 3), whatever their sizes."""
        pixels = torch.cat([self._pixels(picture) for picture in pictures])
        vision = self._model.get_vision_features(pixels.to(self.device, self._model.dtype))
        # They follow from the sizes of the levels alone, which are the same for all pictures.
        self._positions = tuple(level[:1] for level in vision.fpn_position_encoding[:-1])
        levels = vision.fpn_hidden_states[:-1]
        return [
            Embedding(
                # Copies, so that a kept one does not keep the whole batch alive.
                tuple(level[row].clone() for level in levels),
                *picture.shape[:2],
            )
            for row, picture in enumerate(pictures)
        ]

    @torch.no_grad()
    def read(self, phrases: Sequence[str]) -> list[Text]:
        """Reads phrases; what lies beyond the model's length is cut off."""
        tokens = self._tokenizer(list(phrases), padding=True, truncation=True, return_tensors="pt")
        tokens = tokens.to(self.device)
        features = self._model.get_text_features(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
        ).pooler_output
        lengths = tokens.attention_mask.sum(1).tolist()
        return [Text(row[:length].clone()) for row, length in zip(features, lengths, strict=True)]

    @torch.no_grad()
    def ask(self, pairs: Sequence[tuple[Embedding, Text]]) -> list[Answer]:
        """Asks each picture for its phrase, all in one call."""
        features = torch.nn.utils.rnn.pad_sequence(
            [text.features for _, text in pairs], batch_first=True
        )
        lengths = torch.tensor([len(text.features) for _, text in pairs], device=self.device)
        said = torch.arange(features.shape[1], device=self.device) < lengths[:, None]
        levels = zip(*(embedding.levels for embedding, _ in pairs), strict=True)
        answer = self._model(
            vision_embeds=Sam3VisionEncoderOutput(
                # The model leaves the last level out by itself.
                fpn_hidden_states=(*(torch.stack(level) for level in levels), None),
                fpn_position_encoding=(
                    *(level.expand(len(pairs), -1, -1, -1) for level in self._positions),
                    None,
                ),
            ),
            text_embeds=BaseModelOutputWithPooling(pooler_output=features),
            attention_mask=said,
        )
        presence = answer.presence_logits[:, 0].float().sigmoid()
        scores = answer.pred_logits.float().sigmoid() * presence[:, None]
        return [
            Answer(
                scores[row],
                answer.pred_masks[row].float(),
                answer.semantic_seg[row, 0].float(),
                float(presence[row]),
            )
            for row in range(len(pairs))
        ]

    def find(self, picture: NDArray[np.uint8], phrases: Sequence[str]) -> list[Planes]:
        """Every phrase in a picture uint8 (H, W, 3); masks are of the picture's size."""
        (embedding,) = self.embed([picture])
        pairs = [(embedding, text) for text in self.read(phrases)]
        return [
            _planes(answer, picture.shape[0], picture.shape[1])
            for start in range(0, len(pairs), PROMPTS_MAX)
            for answer in self.ask(pairs[start : start + PROMPTS_MAX])
        ]

    def clear_cache(self) -> None:
        """Gives back what the allocator keeps."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _pixels(self, picture: NDArray[np.uint8]) -> Tensor:
        side = (self.traits.side_px, self.traits.side_px)
        resized = Image.fromarray(picture).resize(side, Image.Resampling.BILINEAR)
        shares = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].float() / 255
        mean, deviation = (
            # Told its type, for while another model loads the default is that model's.
            torch.tensor(each, dtype=torch.float32).view(1, 3, 1, 1)
            for each in (self.traits.mean, self.traits.deviation)
        )
        return (shares - mean) / deviation


def best(answer: Answer, score_min: float, most: int | None = None) -> Tensor:
    """The numbers of the instances with a score above `score_min`, the surest first."""
    order = answer.scores.argsort(descending=True)
    return order[answer.scores[order] > score_min][:most]


@torch.no_grad()
def grown(
    logits: Tensor, height: int, width: int, threshold: float = MASK_THRESHOLD
) -> Iterator[NDArray[np.bool_]]:
    """Masks (n, h, w) at the picture's size, one after another, bool (height, width).

    A few are unpacked at once, so that many instances of a large picture need no more memory than
    one of them.
    """
    few = max(1, _GROWN_FLOATS_MAX // (height * width))
    for part in logits.split(few) if len(logits) else ():
        large = functional.interpolate(
            part[None], (height, width), mode="bilinear", align_corners=False
        )[0]
        yield from (large > math.log(threshold / (1 - threshold))).cpu().numpy()


def _planes(answer: Answer, height: int, width: int) -> Planes:
    order = best(answer, SCORE_MIN)
    planes = [*grown(answer.masks[order], height, width)]
    (semantic,) = grown(answer.semantic[None], height, width)
    masks = np.stack(planes) if planes else np.zeros((0, height, width), np.bool_)
    return Planes(masks, answer.scores[order].cpu().numpy(), semantic, answer.presence)
