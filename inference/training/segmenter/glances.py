"""A quick look, in mid-training, at scenes that are not trained on."""

from __future__ import annotations

from dataclasses import replace

from inference.training.segmenter.measuring import Tally, measure
from inference.training.segmenter.processor import Segmenter
from inference.training.segmenter.questions import (
    LANGUAGES,
    kin_questions,
    object_questions,
    scenes,
)
from inference.training.segmenter.scenes import SIDE_PX
from inference.training.world.shelves import ShelfPlan

CHOICE_SEED = 71  # choices are made on the scenes of this seed, never on the gates'
EVEN = ShelfPlan("even", 48, CHOICE_SEED, ((SIDE_PX, SIDE_PX),), (0.25,) * 4)
KIN = replace(EVEN, scenes=64, seed=CHOICE_SEED + 1, kinship=1.0, counts=(0.0, 0.3, 0.35, 0.35))


def glance(segmenter: Segmenter) -> str:
    """Do several of a kind come apart, and how well do single ones fit."""
    tally = Tally()
    for shown in scenes(KIN):
        several = [asked for asked in kin_questions(shown) if len(asked.wanted) > 1]
        measure(segmenter, shown, several, tally)
    for shown in scenes(EVEN):
        measure(segmenter, shown, list(object_questions(shown, f"{len(shown.objects)}")), tally)
    told = {
        "all instances": ["several"],
        "count": ["several"],
        "each IoU": ["several"],
        "IoU 1-2": ["1", "2"],
        "IoU 3-4": ["3", "4"],
        "right": ["2", "3", "4"],
    }
    endings = {"count": " count", "each IoU": " iou", "right": " right"}
    parts = []
    for title, names in told.items():
        ending = endings.get(title, "")
        value, count = tally.mean(
            [f"{n} {language}{ending}" for n in names for language in LANGUAGES]
        )
        parts.append(f"{title} {value or 0:.3f} ({count})")
    return ", ".join(parts)
