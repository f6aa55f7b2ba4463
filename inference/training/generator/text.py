"""Stage `text`: both text encoders learn to say what a caption names; afterwards they are frozen.

Without this stage the generator learns colours but no shapes in the same time (ablation of the ml2
study: shape .10 = chance against .60 after 20,000 samples).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from inference.training.generator.labels import attributes, columns, labels_said
from inference.training.generator.models import TEXT_WIDTH, TOKENS_MAX, build_text_encoders
from inference.training.precision import autocast
from inference.training.runs import Checkpoint, Progress, Run, learning_rate_share
from inference.training.tokens import token_ids, train_tokenizer
from inference.training.world.captions import caption
from inference.training.world.layouts import random_layout

STAGE = "text"
CAPTIONS = 160_000
HELD_OUT_CAPTIONS = 2_000
SAMPLES, BATCH = 224_000, 128
LEARNING_RATE = 1.5e-3
VOCABULARY = 1_800
TOKENIZER_CAPTIONS = 40_000
COUNTS = (0.45, 0.37, 0.11, 0.07)  # captions of one to four objects
KINSHIP = 0.25
Encoders = tuple[CLIPTextModel, CLIPTextModelWithProjection]


@dataclass(frozen=True)
class Captions:
    """Texts, the classes that they name (N, ATTRIBUTES), and which are Korean."""

    texts: list[str]
    classes: Tensor
    korean: Tensor


class AttributeHeads(nn.Module):
    """Reads every attribute by attention over the tokens, and again from the pooled vector."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        width = 2 * TEXT_WIDTH
        self.query = nn.Parameter(torch.randn(len(sizes), width) * 0.2)
        self.key = nn.Linear(width, width)
        self.from_tokens = nn.ModuleList([nn.Linear(width, size) for size in sizes])
        self.from_pooled = nn.ModuleList([nn.Linear(TEXT_WIDTH, size) for size in sizes])

    def forward(self, tokens: Tensor, pooled: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(B, T, 2 * width) and (B, width) to two lists of logits (B, classes)."""
        scores = self.query @ self.key(tokens).transpose(1, 2) / tokens.shape[-1] ** 0.5
        read = scores.softmax(-1) @ tokens
        return (
            [head(read[:, i]) for i, head in enumerate(self.from_tokens)],
            [head(pooled) for head in self.from_pooled],
        )


def encode_text(encoders: Encoders, ids: Tensor) -> tuple[Tensor, Tensor]:
    """What SDXL feeds its UNet: tokens (B, T, 2 * width) and the pooled vector (B, width)."""
    first = encoders[0](ids, output_hidden_states=True).hidden_states[-2]
    second = encoders[1](ids, output_hidden_states=True)
    return torch.cat([first, second.hidden_states[-2]], -1), second.text_embeds


def train_text_encoders(run: Run) -> None:
    """Learns the tokenizer, then both encoders from attribute labels."""
    folder = run.stage(STAGE)
    training = draw_captions(np.random.default_rng([run.seed, 2]), CAPTIONS)
    tokenizer = train_tokenizer(training.texts[:TOKENIZER_CAPTIONS], VOCABULARY, TOKENS_MAX)
    tokenizer.save_pretrained(folder / "tokenizer")
    ids = token_ids(tokenizer, training.texts)
    torch.manual_seed(run.seed)
    encoders = build_text_encoders(tokenizer)
    heads = AttributeHeads([attribute.classes for attribute in attributes()])
    everything = nn.ModuleList([*encoders, heads]).to(run.device)
    optimizer = torch.optim.AdamW(everything.parameters(), LEARNING_RATE, weight_decay=0.02)
    checkpoint, seen = Checkpoint(folder), 0
    if state := checkpoint.load():
        everything.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["seen"]
    progress = Progress(STAGE, SAMPLES, seen)
    while seen < SAMPLES:
        rows = torch.from_numpy(
            np.random.default_rng([run.seed, 3, seen]).integers(0, CAPTIONS, BATCH)
        )
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * learning_rate_share(
            seen / SAMPLES, 0.05, 0.3
        )
        loss = _attribute_loss(run, encoders, heads, ids[rows], training.classes[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(everything.parameters(), 1.0)
        optimizer.step()
        seen += BATCH
        progress.update(seen, loss=loss.item())
        if checkpoint.is_due() or seen >= SAMPLES:
            checkpoint.save(
                {
                    "model": everything.state_dict(),
                    "seen": seen,
                    "optimizer": optimizer.state_dict(),
                }
            )
    for name, encoder in zip(("first", "second"), encoders, strict=True):
        encoder.save_pretrained(folder / name)
    held_out = draw_captions(np.random.default_rng([run.seed, 4]), HELD_OUT_CAPTIONS)
    run.mark_done(
        STAGE,
        f"{seen} captions, {len(tokenizer)} tokens; "
        + _report(run, encoders, heads, tokenizer, held_out),
    )


def load_text_encoders(run: Run) -> tuple[CLIPTokenizer, Encoders]:
    """The tokenizer and the frozen encoders."""
    folder = run.stage(STAGE)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    first = CLIPTextModel.from_pretrained(folder / "first", local_files_only=True)
    second = CLIPTextModelWithProjection.from_pretrained(folder / "second", local_files_only=True)
    return tokenizer, (first.eval().requires_grad_(False), second.eval().requires_grad_(False))


def draw_captions(rng: np.random.Generator, count: int) -> Captions:
    """Captions of random scenes with the classes that their words name."""
    texts, classes, korean = [], [], []
    for _ in range(count):
        layout = random_layout(rng, int(rng.choice(4, p=COUNTS)) + 1, KINSHIP)
        said = caption(layout, rng)
        texts.append(said.text)
        korean.append(said.language == "ko")
        classes.append(labels_said(layout, said))
    return Captions(texts, torch.from_numpy(np.stack(classes)), torch.tensor(korean))


def _attribute_loss(
    run: Run, encoders: Encoders, heads: AttributeHeads, ids: Tensor, classes: Tensor
) -> Tensor:
    ids, classes = ids.to(run.device), classes.to(run.device)
    with autocast(run.device):
        tokens, pooled = encode_text(encoders, ids)
        answers = heads(tokens, pooled)
    losses = [
        functional.cross_entropy(logits.float(), classes[:, i])
        for reading in answers
        for i, logits in enumerate(reading)
    ]
    size = (pooled.float().square().mean() - 1).square()  # keeps the pooled vector near unit size
    return torch.stack(losses).mean() + 1e-3 * size


@torch.no_grad()
def _report(
    run: Run,
    encoders: Encoders,
    heads: AttributeHeads,
    tokenizer: CLIPTokenizer,
    held_out: Captions,
) -> str:
    for encoder in encoders:
        encoder.eval()
    ids = token_ids(tokenizer, held_out.texts).to(run.device)
    read, pooled = heads(*encode_text(encoders, ids))
    lines = []
    right = torch.stack([part.argmax(1).cpu() for part in read], 1) == held_out.classes
    for language, rows in (("en", ~held_out.korean), ("ko", held_out.korean)):
        scores = " ".join(
            f"{name} {right[rows][:, columns(name)].all(1).float().mean():.3f}"
            for name in ("object", "colour", "material", "surface", "backdrop")
        )
        lines.append(f"{language}: {scores}")
    whole = torch.stack([part.argmax(1).cpu() for part in pooled], 1) == held_out.classes
    lines.append(f"from the pooled vector: {whole.float().mean():.3f}")
    longest = int((ids != tokenizer.pad_token_id).sum(1).max()) + 1
    return "; ".join(lines) + f"; longest caption {longest} tokens"
