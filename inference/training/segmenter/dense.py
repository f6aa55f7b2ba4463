"""Stages `dense` and `places`: what each cell shows and where that is, before anything is asked.

At every level of the pyramid each cell says its class, colour and material; the same classifiers
read the text features of phrases, and a dot product tells which cells a phrase names. Without this
stage the right object is found no better than by chance in the same time (ml2 study, run S1).
In `places` each cell says besides where its object is (`instances`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from inference.training.muon import set_learning_rate
from inference.training.precision import autocast
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.segmenter.batches import Batch, Batches, label_shares
from inference.training.segmenter.concepts import attributes_of, classes
from inference.training.segmenter.instances import CLEAR_SHARE, InstanceHeads, place_losses
from inference.training.segmenter.model import (
    FUSION_WIDTH,
    TOKENS_MAX,
    Features,
    build_segmenter,
    look,
    mark_places,
    prepare,
    read,
    use_fast_attention,
)
from inference.training.segmenter.optimizers import make_optimizers
from inference.training.segmenter.prompts import draw_prompts
from inference.training.segmenter.scenes import load_data
from inference.training.tokens import train_tokenizer

BATCH = 16
DECAY_FROM = 0.4
GRADIENT_NORM_MAX = 2.0
VOCABULARY = 1_400
TOKENIZER_SCENES = 6_000
OBJECT_WEIGHT = 4.0
SILENT_STRIDE = 4  # every fourth cell is enough to keep the other tokens quiet
MATCH_WEIGHT, BEGIN_WEIGHT = 10.0, 0.3


@dataclass(frozen=True)
class Plan:
    """One of the two stages: what it starts from, how long it is and how fast it learns."""

    stage: str
    before: str | None
    seed: int
    scenes: int
    muon_rate: float
    adam_rate: float


DENSE = Plan("dense", None, seed=1, scenes=30_400, muon_rate=0.015, adam_rate=1e-3)
PLACES = Plan("places", "dense", seed=4, scenes=14_400, muon_rate=0.01, adam_rate=8e-4)


class DenseHeads(nn.Module):
    """Classifiers shared by cells and phrases, and the match between them."""

    def __init__(self) -> None:
        super().__init__()
        known, width = classes(), FUSION_WIDTH
        self.cell_norm, self.text_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        # The last class of each is "not said", which only phrases have.
        self.kind = nn.Linear(width, known.count + 1)
        self.colour = nn.Linear(width, known.no_colour + 2)
        self.material = nn.Linear(width, known.no_material + 2)
        self.from_cell = nn.Linear(width, width, bias=False)
        self.from_text = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.tensor(-3.0))
        self.token_norm = nn.LayerNorm(width)
        self.token = nn.Linear(width, 1)  # used by the joint stages: does this cell match?

    def match(self, cells: Tensor, text: Tensor) -> Tensor:
        """Logits (B, P, U) that cells (B, P, width) are named by texts (U, width), normed both."""
        scores = self.from_cell(cells) @ self.from_text(text).T
        logits: Tensor = scores * self.scale.exp() / 8 + self.bias
        return logits


def train_dense(run: Run) -> None:
    """Trains backbone, pyramid and text encoder."""
    _train(run, DENSE)


def train_places(run: Run) -> None:
    """Trains on: cells learn where their objects are."""
    _train(run, PLACES)


def _train(run: Run, plan: Plan) -> None:
    folder, tokenizer = run.stage(plan.stage), load_tokenizer(run)
    torch.manual_seed(run.seed)
    model, heads = build_segmenter(tokenizer), DenseHeads()
    prepare(model)
    use_fast_attention(model)
    instances = None if plan.before is None else InstanceHeads()
    parts = nn.ModuleList([model, heads, *([instances] if instances else [])]).to(run.device)
    optimizers = make_optimizers(model, parts[1:], plan.muon_rate, plan.adam_rate)
    checkpoint, seen = Checkpoint(folder), 0
    if state := checkpoint.load():
        parts.load_state_dict(state["both"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        seen = state["seen"]
    elif plan.before is not None:
        begin_from(run, plan.before, parts[:2])
        mark_places(model)
    batches, progress = Batches(load_data(run), tokenizer), Progress(plan.stage, plan.scenes, seen)
    while seen < plan.scenes:
        rng = np.random.default_rng([run.seed, plan.seed, seen])
        batch = batches.draw(rng, BATCH).to(run.device)
        set_learning_rate(optimizers, learning_rate_share(seen / plan.scenes, 0.02, DECAY_FROM))
        with autocast(run.device):
            features = look(model, batch.pictures, fine=False)
            text = read(model, batch.ids, batch.attention)
        losses = dense_losses(heads, features, text, batch)
        if instances is not None:
            losses |= place_losses(instances, features, batch)
        parts.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(parts.parameters(), GRADIENT_NORM_MAX)
        for optimizer in optimizers:
            optimizer.step()
        seen += BATCH
        progress.update(seen, **{name: loss.item() for name, loss in losses.items()})
        if checkpoint.is_due() or seen >= plan.scenes:
            checkpoint.save(
                {
                    "both": parts.state_dict(),
                    "optimizers": [o.state_dict() for o in optimizers],
                    "seen": seen,
                }
            )
    run.mark_done(plan.stage, f"{seen} scenes, {len(tokenizer)} tokens")


def begin_from(run: Run, stage: str, parts: nn.ModuleList) -> None:
    """Takes the weights that a stage before has left, averaged ones where it kept them."""
    state = Checkpoint(run.stage(stage)).load()
    if state is None:
        raise FileNotFoundError(f"the {stage} stage has no checkpoint yet")
    parts.load_state_dict(state["both"])
    if "average" in state:
        parts[0].load_state_dict(state["average"])


def load_tokenizer(run: Run) -> CLIPTokenizer:
    """The tokenizer, learned from phrases of the training scenes at the first call."""
    folder = run.stage(DENSE.stage) / "tokenizer"
    if not folder.exists():
        texts = [
            prompt.phrase.text
            for order, layout in enumerate(load_data(run).layouts[:TOKENIZER_SCENES])
            for prompt in draw_prompts(
                attributes_of(layout), np.random.default_rng([run.seed, 0, order])
            )
        ]
        tokenizer = train_tokenizer(texts, VOCABULARY, TOKENS_MAX)
        tokenizer.save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def dense_losses(
    heads: DenseHeads, features: Features, text: Tensor, batch: Batch
) -> dict[str, Tensor]:
    """All losses of the stage, weighted; text is (U, T, width)."""
    losses: dict[str, Tensor] = {}
    for order, level in enumerate(features.levels):
        cells = heads.cell_norm(level.flatten(2).transpose(1, 2).float())
        shares = label_shares(batch.labels, level.shape[-1]).flatten(2).transpose(1, 2)
        losses |= _cell_losses(heads, cells, shares, batch.attributes, f"{order}")
    text = text.float()
    attention = batch.attention.float()
    last = attention.sum(1).long() - 1
    end = text[torch.arange(len(text), device=text.device), last]
    mean = (text * attention[..., None]).sum(1) / attention.sum(1, keepdim=True)
    losses["text"] = _phrase_loss(heads, end, batch) + _phrase_loss(heads, mean, batch)
    losses["match"] = MATCH_WEIGHT * functional.binary_cross_entropy_with_logits(
        heads.match(cells, heads.text_norm(end)), _matches(batch, shares)
    )
    losses["silent"] = _silent_tokens(heads, cells[:, ::SILENT_STRIDE], text, attention, last)
    return losses


def _cell_losses(
    heads: DenseHeads, cells: Tensor, shares: Tensor, attributes: Tensor, level: str
) -> dict[str, Tensor]:
    """Cross entropies of what each clear cell (B, P) shows, objects weighted more."""
    share, label = shares.max(-1)
    weight = share * (share > CLEAR_SHARE) * torch.where(label > 1, OBJECT_WEIGHT, 1.0)
    wanted = attributes.gather(1, label[..., None].expand(-1, -1, 3))
    readers = {"kind": heads.kind, "colour": heads.colour, "material": heads.material}
    return {
        f"{name}{level}": (
            functional.cross_entropy(
                reader(cells).transpose(1, 2), wanted[..., column], reduction="none"
            )
            * weight
        ).sum()
        / weight.sum()
        for column, (name, reader) in enumerate(readers.items())
    }


def _phrase_loss(heads: DenseHeads, text: Tensor, batch: Batch) -> Tensor:
    """The same classifiers read what a phrase means; several classes share the probability."""
    normed = heads.text_norm(text)
    anything = batch.kinds.sum(1) == len(classes().objects)
    wanted = (
        (heads.kind, _shares(batch.kinds, anything)),
        (heads.colour, _shares(batch.colours, batch.colours.sum(1) > 1)),
        (heads.material, _shares(batch.materials, batch.materials.sum(1) > 1)),
    )
    return torch.stack(
        [functional.cross_entropy(reader(normed), shares) for reader, shares in wanted]
    ).sum()


def _shares(allowed: Tensor, unsaid: Tensor) -> Tensor:
    """What is allowed (U, n) as probabilities (U, n + 1); the last one is "not said"."""
    rows = torch.cat([allowed * ~unsaid[:, None], unsaid[:, None]], 1)
    return rows / rows.sum(1, keepdim=True)


def _matches(batch: Batch, shares: Tensor) -> Tensor:
    """How much of each cell every phrase of the batch names, (B, P, U)."""
    filled = batch.attributes[..., 0] >= 0
    kind, colour, material = batch.attributes.clamp(min=0).unbind(-1)
    named = batch.kinds[:, kind] * batch.colours[:, colour] * batch.materials[:, material] * filled
    return torch.einsum("ubl,bpl->bpu", named, shares)


def _silent_tokens(
    heads: DenseHeads, cells: Tensor, text: Tensor, attention: Tensor, last: Tensor
) -> Tensor:
    """Only the last token may match: the first stays neutral, the others below zero."""
    rows = torch.arange(len(text), device=text.device)
    others = attention.clone()
    others[rows, last] = 0
    others[:, 0] = 0
    normed = heads.text_norm(text)
    first = heads.match(cells, normed[:1, 0])
    rest = heads.match(cells, normed.flatten(0, 1)).unflatten(2, attention.shape)
    loud = (functional.softplus(rest + 1) * others).sum() / (
        others.sum().clamp(min=1) * cells.shape[0] * cells.shape[1]
    )
    return BEGIN_WEIGHT * first.square().mean() + loud
