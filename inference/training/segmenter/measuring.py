"""How right an answer is, question by question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from inference.training.gates import Gate
from inference.training.segmenter.processor import Found, Segmenter
from inference.training.segmenter.questions import Question, Shown
from inference.training.world.scenes import FIRST_OBJECT

MASK_SIDE = 64
MATCHED_IOU = 0.5
Mask = NDArray[np.bool_]


class Tally:
    """Measurements by name."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, value: float) -> None:
        """One measurement."""
        self._values[name].append(float(value))

    def gate(self, title: str, names: Sequence[str], **limits: float | bool) -> Gate:
        """The mean over `names`; "<name> null" and "<name> ceiling" are tallied apart."""
        value, count = self.mean(names)
        null, _ = self.mean([f"{name} null" for name in names])
        ceiling, _ = self.mean([f"{name} ceiling" for name in names])
        return Gate(
            title,
            float("nan") if value is None else value,
            null=null,
            ceiling=ceiling,
            count=count,
            **limits,  # type: ignore[arg-type]
        )

    def mean(self, names: Sequence[str]) -> tuple[float | None, int]:
        """The mean over `names`, None without a measurement, and their number."""
        values = [value for name in names for value in self._values.get(name, [])]
        return (float(np.mean(values)) if values else None), len(values)


def measure(
    segmenter: Segmenter, shown: Shown, questions: Sequence[Question], tally: Tally
) -> None:
    """Asks the questions of a scene and tallies the answers under the questions' reasons."""
    if not questions:
        return
    answers = segmenter.find(shown.picture, [question.phrase.text for question in questions])
    for question, found in zip(questions, answers, strict=True):
        tally_answer(question, found, shown, tally)


def tally_answer(question: Question, found: Found, shown: Shown, tally: Tally) -> None:
    """How right one answer is, in the way of what was asked for."""
    if not question.wanted:
        tally.add(question.why, bool(len(found.masks)))
    elif question.wanted[0] < FIRST_OBJECT:
        _measure_stuff(question, found, shown, tally)
    elif len(question.wanted) > 1:
        _measure_several(question, found, shown, tally)
    else:
        _measure_object(question, found, shown, tally)


def _measure_object(question: Question, found: Found, shown: Shown, tally: Tally) -> None:
    (label,) = question.wanted
    truth = shown.labels == label
    best = found.masks[0] if len(found.masks) else np.zeros_like(truth)
    tally.add(question.why, iou(best, truth))
    tally.add(f"{question.why} ceiling", iou(_coarse(truth), truth))
    others = [other for other in shown.objects if other != label]
    if others:
        ious = {other: iou(best, shown.labels == other) for other in shown.objects}
        tally.add(f"{question.why} right", max(ious, key=ious.__getitem__) == label and best.any())
        tally.add(f"{question.why} right null", 1 / len(shown.objects))
        tally.add(f"{question.why} null", float(np.mean(list(ious.values()))))


def _measure_several(question: Question, found: Found, shown: Shown, tally: Tally) -> None:
    truths = [shown.labels == label for label in question.wanted]
    ious = [max((iou(mask, truth) for mask in found.masks), default=0.0) for truth in truths]
    is_right = len(found.masks) == len(truths) and min(ious) > MATCHED_IOU
    tally.add(question.why, is_right)
    tally.add(f"{question.why} iou", float(np.mean(ious)))
    tally.add(f"{question.why} count", len(found.masks) == len(truths))


def _measure_stuff(question: Question, found: Found, shown: Shown, tally: Tally) -> None:
    truth = shown.labels == question.wanted[0]
    tally.add(question.why, iou(found.semantic, truth) if found.presence > 0.5 else 0.0)
    tally.add(f"{question.why} ceiling", iou(_coarse(truth), truth))
    tally.add(f"{question.why} null", iou(found.semantic, ~truth))


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union; 0 for two empty masks."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def _coarse(truth: Mask) -> Mask:
    """The best that masks of the model's resolution can say."""
    planes = torch.from_numpy(truth)[None, None].float()
    small = torch.nn.functional.adaptive_avg_pool2d(planes, MASK_SIDE)
    grown = torch.nn.functional.interpolate(small, truth.shape, mode="bilinear")
    coarse: Mask = (grown[0, 0] > 0.5).numpy()
    return coarse
