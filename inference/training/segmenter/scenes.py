"""Stage `data`: scenes of one to four objects with labels, of every aspect, squeezed to 128 px."""

from __future__ import annotations

from inference.training.runs import Run
from inference.training.world.scenes import SHAPE_SIZES
from inference.training.world.shelves import Shelf, ShelfPlan, draw_shelf, load_shelf

STAGE = "data"
SIDE_PX = 128
_SQUARE, *_OTHERS = SHAPE_SIZES
SIZES = (_SQUARE,) * 5 + tuple(_OTHERS)
TRAINING = ShelfPlan(
    "training",
    scenes=40_000,
    seed=20261121,
    sizes=SIZES,
    counts=(0.15, 0.33, 0.28, 0.24),
    kinship=0.65,
    has_labels=True,
)


def draw_data(run: Run) -> None:
    """Draws the training scenes."""
    draw_shelf(run.stage(STAGE), TRAINING)
    run.mark_done(STAGE, f"{TRAINING.scenes} scenes of {SIDE_PX} px")


def load_data(run: Run) -> Shelf:
    """The training scenes."""
    return load_shelf(run.stage(STAGE), TRAINING)
