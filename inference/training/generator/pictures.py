"""Stage `data`: scenes kept as pictures, for the autoencoder and the judge.

The denoiser's scenes are drawn and encoded in one go (`latents.py`): their latents take a
twenty-fourth of the room.
"""

from __future__ import annotations

from inference.engine.shapes import size_of
from inference.training.runs import Run
from inference.training.world.scenes import SHAPE_SIZES
from inference.training.world.shelves import Shelf, ShelfPlan, draw_shelf, load_shelf

STAGE = "data"
FULL_PX, HALF_PX = 256, 128
# Those that the engine asks for, the square first.
FULL_SIZES = tuple(
    tuple(size_of(aspect, FULL_PX, 16)) for aspect in ("1:1", "3:4", "4:3", "9:16", "16:9")
)
HALF_SIZES = SHAPE_SIZES
_MIXED = (0.4, 0.4, 0.12, 0.08)
FULL = ShelfPlan("full", 5_000, 1001, FULL_SIZES[:1], _MIXED)
HALF = ShelfPlan("half", 8_000, 1002, HALF_SIZES[:1], _MIXED)
HELD_OUT = ShelfPlan("held-out", 240, 1003, FULL_SIZES[:1], _MIXED)


def draw_data(run: Run) -> None:
    """Draws every shelf."""
    for plan in (FULL, HALF, HELD_OUT):
        draw_shelf(run.stage(STAGE), plan)
        print(f"{STAGE}: {plan.name} {plan.scenes} scenes of {plan.sizes[0]} px", flush=True)
    run.mark_done(STAGE, f"{FULL.scenes} scenes of {FULL_PX} px, {HALF.scenes} of {HALF_PX} px")


def load_pictures(run: Run, plan: ShelfPlan) -> Shelf:
    """One of the shelves."""
    return load_shelf(run.stage(STAGE), plan)
