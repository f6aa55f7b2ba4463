"""A second prompt on a picture beside the first, and the floor that the model sets.

The floor is what no cache can spare: reading new words and the decoder. One thread; a picture of
512 x 512 as PNG, through the segmenter's loop: decoding, hashing, masks at the picture's size.
"""

from __future__ import annotations

import asyncio
import json

from deploy.local.layout import ROOT, environment_bin
from tests.bench.record import Record


async def bench() -> list[Record]:
    process = await asyncio.create_subprocess_exec(
        str(environment_bin(".venv-models") / "python"),
        "-m",
        "tests.bench._segment",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    seen = json.loads(said)
    first, name = seen["first"], f"segmenter ({seen['weights']})"
    return [
        Record(f"{name}: first prompt on a picture", first * 1e3, "ms"),
        _beside(f"{name}: second prompt on it", seen["second"], first),
        _beside(f"{name}: floor, new words and decoder", seen["floor"], first),
        _beside(f"{name}: encoder", seen["encoder"], first),
        _beside(f"{name}: a prompt among eight, decoder", seen["batch"], first),
    ]


def _beside(name: str, seconds: float, first: float) -> Record:
    return Record(name, seconds * 1e3, "ms", "the first prompt", seconds / first)
