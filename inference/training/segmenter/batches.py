"""Training batches: pictures, what each label is, prompts as tokens, and the masks they name."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTokenizer

from inference.training.segmenter.concepts import (
    PARTS_MAX,
    Attributes,
    attributes_of,
    concept_masks,
    most_of_a_kind,
)
from inference.training.segmenter.prompts import PROMPTS, draw_prompts
from inference.training.world.layouts import OBJECTS_MAX
from inference.training.world.shelves import Shelf

VISIBLE_PX_MIN = 12  # a part with fewer pixels is not asked for
# Three of a kind are in 1 scene of 90 and were miscounted in 4 of 5; drawn so much more often.
CROWD, CROWD_TURNS = 3, 6
BLUR_SHARE, TINT_SHARE, TINT_MAX = 0.3, 0.5, 0.12


@dataclass(frozen=True)
class Batch:
    """B scenes with K prompts each, N = B * K in order of scenes, U different phrases.

    pictures (B, 3, S, S) in -1..1; labels (B, S, S); attributes (B, PARTS_MAX, 3); ids and
    attention (U, T); phrase (N,) into U; named (N, OBJECTS_MAX) labels, -1 where there are fewer.
    What the phrases allow, 0 or 1: kinds (U, classes), colours (U, colours), materials (U,
    materials).
    """

    pictures: Tensor
    labels: Tensor
    attributes: Tensor
    ids: Tensor
    attention: Tensor
    phrase: Tensor
    named: Tensor
    kinds: Tensor
    colours: Tensor
    materials: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Batches:
    """Draws batches from the training shelf; a batch depends on its generator only."""

    def __init__(self, shelf: Shelf, tokenizer: CLIPTokenizer) -> None:
        assert shelf.labels is not None
        self._pictures, self._labels = shelf.pictures, shelf.labels
        self._attributes: Attributes = np.stack([attributes_of(one) for one in shelf.layouts])
        crowds = np.array([most_of_a_kind(one) >= CROWD for one in self._attributes])
        self._pool = np.repeat(np.arange(len(crowds)), np.where(crowds, CROWD_TURNS, 1))
        self._tokenizer = tokenizer
        self._ids: dict[str, list[int]] = {}

    def draw(self, rng: np.random.Generator, scenes: int) -> Batch:
        """A batch of `scenes` scenes, each flipped or not, tinted and blurred at times."""
        rows = np.sort(self._pool[rng.integers(0, len(self._pool), scenes)])
        pictures = torch.from_numpy(self._pictures[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
        labels = torch.from_numpy(self._labels[rows]).long()
        flipped = torch.from_numpy(rng.random(scenes) < 0.5)
        pictures = torch.where(flipped[:, None, None, None], pictures.flip(-1), pictures)
        labels = torch.where(flipped[:, None, None], labels.flip(-1), labels)
        attributes = self._attributes[rows]
        prompts = [prompt for one in attributes for prompt in draw_prompts(one, rng)]
        phrases = list({prompt.phrase.text: prompt.phrase for prompt in prompts}.values())
        places = {phrase.text: place for place, phrase in enumerate(phrases)}
        ids, attention = self.tokens([phrase.text for phrase in phrases])
        named = np.full((len(prompts), OBJECTS_MAX), -1)
        for row, prompt in enumerate(prompts):
            named[row, : len(prompt.labels)] = prompt.labels
        means = concept_masks([phrase.concept for phrase in phrases])
        return Batch(
            pictures=_disturbed(pictures, rng),
            labels=labels,
            attributes=torch.from_numpy(attributes),
            ids=ids,
            attention=attention,
            phrase=torch.tensor([places[prompt.phrase.text] for prompt in prompts]),
            named=torch.from_numpy(named),
            kinds=torch.from_numpy(means.classes),
            colours=torch.from_numpy(means.colours),
            materials=torch.from_numpy(means.materials),
        )

    def tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask (U, T), padded to the longest."""
        for text in texts:
            if text not in self._ids:
                self._ids[text] = self._tokenizer(text).input_ids
        rows = [self._ids[text] for text in texts]
        longest = max(len(row) for row in rows)
        ids = torch.full((len(rows), longest), self._tokenizer.pad_token_id)
        attention = torch.zeros(len(rows), longest, dtype=torch.long)
        for order, row in enumerate(rows):
            ids[order, : len(row)] = torch.tensor(row)
            attention[order, : len(row)] = 1
        return ids, attention


@dataclass(frozen=True)
class Targets:
    """What N prompts name, in G places of which some are filled (N, G).

    masks (N, G, side, side) 0-1; boxes (N, G, 4) as corner shares.
    """

    masks: Tensor
    boxes: Tensor
    filled: Tensor


def targets_of(batch: Batch, side: int) -> Targets:
    """Masks averaged down to `side` and boxes of the labels that the prompts name."""
    shares = label_shares(batch.labels, side)
    boxes, areas = label_boxes(batch.labels)
    scenes = torch.arange(len(batch.labels), device=batch.labels.device)
    scene = scenes.repeat_interleave(PROMPTS)[:, None]
    named = batch.named.clamp(min=0)
    filled = (batch.named >= 0) & (areas[scene, named] >= VISIBLE_PX_MIN)
    return Targets(shares[scene, named], boxes[scene, named], filled)


def label_shares(labels: Tensor, side: int) -> Tensor:
    """How much of each cell shows each label, (B, PARTS_MAX, side, side)."""
    planes = functional.one_hot(labels, PARTS_MAX).permute(0, 3, 1, 2).float()
    return functional.adaptive_avg_pool2d(planes, side)


def label_boxes(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (B, PARTS_MAX, 4) as corner shares and areas (B, PARTS_MAX) in px."""
    planes = functional.one_hot(labels, PARTS_MAX).permute(0, 3, 1, 2).bool()
    side = labels.shape[-1]
    place = torch.arange(side, device=labels.device)
    rows, columns = planes.any(3), planes.any(2)
    corners = [
        torch.where(columns, place, side).amin(-1),
        torch.where(rows, place, side).amin(-1),
        torch.where(columns, place + 1, 0).amax(-1),
        torch.where(rows, place + 1, 0).amax(-1),
    ]
    return torch.stack(corners, -1).float() / side, planes.flatten(2).sum(-1)


def _disturbed(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Softened as a generator's pictures are, and lit a little differently, at times."""
    if rng.random() < BLUR_SHARE:
        small = functional.avg_pool2d(pictures, 2)
        soft = functional.interpolate(small, scale_factor=2, mode="bilinear")
        pictures = pictures.lerp(soft, float(rng.uniform(0.4, 1)))
    if rng.random() < TINT_SHARE:
        gain = 1 + torch.from_numpy(rng.uniform(-TINT_MAX, TINT_MAX, (len(pictures), 1, 1, 1)))
        shift = torch.from_numpy(rng.uniform(-TINT_MAX / 2, TINT_MAX / 2, (len(pictures), 3, 1, 1)))
        pictures = (pictures * gain.float() + shift.float()).clamp(-1, 1)
    return pictures
