"""What a model's answer names, as masks of the picture's size."""

from __future__ import annotations

from inference.engine.errors import ModelFailed
from inference.engine.pictures.masks import Mask, Runs, union
from inference.engine.segmentation.job import Job
from inference.engine.segmentation.request import (
    INSTANCE_CHARACTERS_MAX,
    Found,
    Instance,
    instances_max,
)
from inference.engine.segmentation.segmenter import Answer, best, grown


def found(job: Job, at: int, answer: Answer, usual_score_min: float) -> Found:
    """Turns the answer for one of a job's words into masks, one of them unpacked at a time.

    Raises:
        ModelFailed: The answer holds something that is no number.
    """
    if not answer.sound:
        raise ModelFailed("the model gave numbers that are no masks")
    asked = job.request.score_min
    score_min = usual_score_min if asked is None else asked
    concept, words = job.request.concepts[at], job.words[at]
    if answer.presence <= score_min:
        return Found(concept, words, answer.presence, Runs.of(Mask.empty(*_size(job))), ())
    whole = _everything(job, answer)
    things, left_out, together = _things(job, answer, score_min, joined=not whole.bits.size)
    covered = Runs.of(whole if whole.bits.size else together)
    return Found(concept, words, answer.presence, covered, things, left_out)


def _size(job: Job) -> tuple[int, int]:
    assert job.embedding is not None
    return job.embedding.height, job.embedding.width


def _everything(job: Job, answer: Answer) -> Mask:
    (semantic,) = grown(answer.semantic[None], *_size(job), job.request.mask_threshold)
    return Mask.of(semantic)


def _things(
    job: Job, answer: Answer, score_min: float, *, joined: bool
) -> tuple[tuple[Instance, ...], int, Mask]:
    """The best instances, how many are left out and, where that is wanted, their union."""
    height, width = _size(job)
    counting = best(answer, score_min)
    chosen = counting[: instances_max(height * width, len(job.words))]
    scores = answer.scores[chosen].tolist()
    planes = grown(answer.masks[chosen], height, width, job.request.mask_threshold)
    things: list[Instance] = []
    together, looked_at = Mask.empty(height, width), 0
    characters = INSTANCE_CHARACTERS_MAX // len(job.words)
    for plane, score in zip(planes, scores, strict=True):
        mask = Mask.of(plane)
        runs = Runs.of(mask)
        characters -= len(runs.rle)
        if characters < 0:
            break
        looked_at += 1
        if runs.area:
            things.append(Instance(runs, score))
            together = union((together, mask), height, width) if joined else together
    return tuple(things), len(counting) - looked_at, together
