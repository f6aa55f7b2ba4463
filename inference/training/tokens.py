"""A CLIP tokenizer for the captions of this world: byte-level BPE, English and Korean."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

WORD_END = "</w>"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(captions: Iterable[str], size: int, tokens_max: int) -> CLIPTokenizer:
    """Learns at most `size` tokens, for texts of `tokens_max`.

    Every byte has a token, so any text can be read.
    """
    reference = CLIPTokenizer(vocab={BEGIN: 0, END: 1}, merges=[]).backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    learner.normalizer = reference.normalizer
    learner.pre_tokenizer = reference.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, end_of_word_suffix=WORD_END, initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(captions, trainer)
    learned = json.loads(learner.to_str())["model"]["merges"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in learned]
    words = [*alphabet, *(a + WORD_END for a in alphabet), *("".join(m) for m in merges)]
    vocabulary: dict[str, int] = {}
    for word in [*words, BEGIN, END]:
        vocabulary.setdefault(word, len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=tokens_max)


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Padded ids, int64 (N, the tokenizer's `model_max_length`)."""
    ids: Tensor = tokenizer(
        captions, padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return ids
