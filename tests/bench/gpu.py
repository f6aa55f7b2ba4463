"""SDXL, Flux and SAM3 in their own sizes on a card: our engine beside diffusers, and more levers.

Pictures a second and their latency at 1,024 px, 20 and 30 steps, for 1, 4 and 8 users and for
Poisson arrivals, through our engine and through diffusers as it is and compiled; what FP8, compiled
graphs (tuned too), steps without guidance and caches of steps and of features add; how much of the
card's matmul rate is used; SAM3's first and second prompt; Flux at once by ours and by diffusers.
Weights are random: times do not depend on them. Without a card nothing is measured; what does not
fit on it (Flux takes 34 GB) is said so, and the others go on.

``python -m tests.bench.gpu --dry-run`` takes every path with tiny models on the CPU and keeps
nothing. ``BENCH_PARTS=serving,levers,segment,flux`` chooses, ``BENCH_ROUNDS`` counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence

from deploy.local.layout import ROOT, environment_bin
from tests.bench.record import Record, shown
from tests.cards import card, missing

CARD_GB = 40  # two copies of SDXL, its layers in FP8, and as many rows as pay


async def bench() -> list[Record]:
    """Measures on the card that is there; says so where none is."""
    if why := missing(CARD_GB, card()):
        print(f"gpu: NOT measured: {why}")
        return []
    return await _played(())


async def _played(options: Sequence[str]) -> list[Record]:
    """Plays in the environment that has torch; notes are printed as they come."""
    running = await asyncio.create_subprocess_exec(
        str(environment_bin(".venv-models") / "python"),
        "-m",
        "tests.bench._gpu",
        *options,
        cwd=ROOT,
        env=dict(os.environ) | {"HF_HUB_OFFLINE": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert running.stdout
    records = []
    async for line in running.stdout:
        said = json.loads(line)
        if "note" in said:
            print(said["note"], flush=True)
        else:
            records.append(Record(**said))
    assert await running.wait() == 0
    return records


def main(options: Sequence[str]) -> None:
    """The dry run; figures of tiny models are printed and forgotten."""
    if list(options) != ["--dry-run"]:
        raise SystemExit("make bench BENCH=gpu measures; here: --dry-run")
    for record in asyncio.run(_played(options)):
        print(shown(record))


if __name__ == "__main__":
    main(sys.argv[1:])
