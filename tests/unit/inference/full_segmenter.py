"""SAM3 in its own size with random weights, through the code that serves it.

``python -m tests.unit.inference.full_segmenter [cpu]`` builds it on the card, saves it, loads it,
asks it and prints what was seen as one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Sam3Config, Sam3Model

from inference.engine.segmentation.segmenter import Segmenter
from tests.unit.inference.tiny import tokenizer

TOKENS = 32  # of a phrase, as the published tokenizer cuts them
PICTURES, CONCEPTS, SIDE_PX = 4, ("wall", "a red mug", "the floor"), 1_024


def save(folder: Path, device: torch.device) -> float:
    """Saves it as the official folder lies; returns how many billions of weights it has."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with device:
        model = Sam3Model(Sam3Config())
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    tokenizer(TOKENS).save_pretrained(folder)
    size = {"size": {"height": 1_008, "width": 1_008}}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": size}))
    return sum(weight.numel() for weight in model.parameters()) / 1e9


def check(device: torch.device) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shape = (PICTURES, SIDE_PX, SIDE_PX, 3)
    pictures = list(rng.integers(0, 256, shape, dtype=np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        billions = save(Path(folder), device)
        segmenter = Segmenter.load(Path(folder), device)
    segmenter.find(pictures[0], CONCEPTS[:1])  # warm-up
    began = time.perf_counter()
    embeddings = segmenter.embed(pictures)
    embedded = time.perf_counter()
    texts = segmenter.read(CONCEPTS)
    answers = segmenter.ask([(each, text) for each in embeddings for text in texts])
    asked = time.perf_counter()
    first = time.perf_counter()
    found = segmenter.find(pictures[0], CONCEPTS[:1])
    cold = time.perf_counter() - first
    first = time.perf_counter()
    segmenter.ask([(embeddings[0], texts[0])])
    return {
        "billions": billions,
        "languages": segmenter.traits.languages,
        "embedding_bytes": embeddings[0].size_bytes,
        "masks": list(answers[0].masks.shape),
        "answers": len(answers),
        "sound": all(answer.sound for answer in answers),
        "semantic": list(found[0].semantic.shape),
        "seconds_per_picture": (embedded - began) / PICTURES,
        "seconds_per_pair": (asked - embedded) / len(answers),
        "second_prompt_to_first": (time.perf_counter() - first) / cold,
    }


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    json.dump(check(torch.device(wanted)), sys.stdout)


if __name__ == "__main__":
    main()
