"""The sheet of the card: scenes of seeds 0 to 23, unpicked, with what was found in colour."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.training.contact_sheet import tile
from inference.training.segmenter.processor import SCORE_MIN, Segmenter
from inference.training.segmenter.questions import Shown, object_questions, scenes
from inference.training.segmenter.scenes import SIDE_PX
from inference.training.world.shelves import ShelfPlan

SEEDS, COLUMNS, ENLARGED = 24, 8, 2
_OUTLINES = ((255, 64, 64), (64, 200, 64), (80, 120, 255), (255, 190, 0))


def sheet(segmenter: Segmenter) -> Image.Image:
    """Every object of each scene is asked for by its English name and outlined in a colour."""
    return tile(list(_pictures(segmenter)), COLUMNS)


def _pictures(segmenter: Segmenter) -> Iterator[NDArray[np.uint8]]:
    for seed in range(SEEDS):
        plan = ShelfPlan("samples", 1, seed, ((SIDE_PX, SIDE_PX),), (0.25,) * 4)
        (shown,) = scenes(plan)
        yield _outlined(segmenter, shown)


def _outlined(segmenter: Segmenter, shown: Shown) -> NDArray[np.uint8]:
    side = ENLARGED * SIDE_PX
    picture = cv2.resize(shown.picture, (side, side), interpolation=cv2.INTER_CUBIC)
    asked = [each for each in object_questions(shown, "sample") if each.phrase.language == "en"]
    for number, question in enumerate(asked):
        found = segmenter.find(shown.picture, [question.phrase.text])[0]
        for mask, score in zip(found.masks, found.scores, strict=True):
            if score < SCORE_MIN:
                continue
            whole = cv2.resize(mask.astype(np.uint8), (side, side))
            edges, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, edges, -1, _OUTLINES[number % len(_OUTLINES)], 2)
    return picture
