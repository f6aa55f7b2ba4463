"""Pictures that are asked for at random: sampled continuously, in whole batches, one at a time.

The bundled model on this machine's cores, the same Poisson arrivals (80 % of what one at a time can
bear; 8, 12 and 20 steps) for every policy, in turns; then sixteen pictures at once.
"""

from __future__ import annotations

import asyncio
import json
import os
from statistics import median

from deploy.local.layout import ROOT, environment_bin
from tests.bench.record import Record

PEERS = ("whole batches", "one at a time")


async def bench() -> list[Record]:
    running = await asyncio.create_subprocess_exec(
        str(environment_bin(".venv-models") / "python"),
        "-m",
        "tests.bench._sampling",
        cwd=ROOT,
        env=dict(os.environ) | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await running.communicate()
    assert running.returncode == 0
    rounds = json.loads(said)["rounds"]
    return [_record(rounds, peer, *kind) for peer in PEERS for kind in KINDS]


KINDS = (
    ("mean_seconds", "mean time of Poisson arrivals", "s"),
    ("per_second", "pictures of a crowd", "op/s"),
)


def _record(
    rounds: dict[str, list[dict[str, float]]], peer: str, key: str, name: str, unit: str
) -> Record:
    own = [each[key] for each in rounds["continuous"]]
    other = [each[key] for each in rounds[peer]]
    ratio = median(mine / theirs for mine, theirs in zip(own, other, strict=True))
    return Record(f"sampling: {name}, beside {peer}", median(own), unit, peer, ratio)
