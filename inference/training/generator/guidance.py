"""Which guidance scale draws best: `python -m inference.training.generator.guidance [SCALE ...]`.

Scored on scenes and seeds that are not the gates'; what is chosen becomes
`sampling.GUIDANCE_SCALE`. Needs the stages up to `judge` and `denoiser`, if only begun.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from inference.training.generator.evaluation import (
    Studio,
    load_pipeline,
    two_different,
    without_materials,
)
from inference.training.generator.judge import load_judge
from inference.training.generator.labels import columns
from inference.training.generator.pictures import FULL_SIZES
from inference.training.runs import Run
from inference.training.world.layouts import random_layout

SCALES = (2.0, 3.0, 4.0, 5.5)
ONES, TWOS = 64, 48  # pictures of one object and of two
FIRST_SEED, LAYOUT_SEED = 300_000, 20261201


def scores(run: Run, scales: Sequence[float]) -> str:
    """Shape and colour of single objects, all four attributes of two, as a Markdown table."""
    pipeline, seen = load_pipeline(run)
    rng = np.random.default_rng(LAYOUT_SEED)
    ones, twos = (
        [without_materials(random_layout(rng)) for _ in range(ONES)],
        two_different(rng, TWOS),
    )
    shapes, colours = columns("object"), columns("colour")
    lines = [f"| {seen} samples | shape | colour | two objects |", "|---|---|---|---|"]
    for scale in scales:
        studio = Studio(pipeline, load_judge(run), FULL_SIZES, scale)
        one = studio.draw(ones, "en", FULL_SIZES[0], FIRST_SEED)
        two = studio.draw(twos, "en", FULL_SIZES[0], FIRST_SEED + len(ones))
        right = [one.share(shapes), one.share(colours), two.share([*shapes, *colours])]
        lines.append(f"| {scale:g} | {' | '.join(f'{share:.3f}' for share in right)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scales", nargs="*", type=float, default=SCALES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--root", type=Path, default=Path("build/training/generator"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(scores(Run(options.root, torch.device("cpu")), options.scales))


if __name__ == "__main__":
    main()
