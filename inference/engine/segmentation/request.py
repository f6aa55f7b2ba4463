"""What a segmenter is asked, and what it answers. Standard library and masks only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference.engine.errors import EngineError, InvalidRequest

if TYPE_CHECKING:
    from inference.engine.pictures.masks import Runs

CONCEPTS_MAX = 16
CONCEPT_CHARACTERS_MAX = 100
INSTANCES_MAX = 32
# Of all instances of one request: every concept has all 32 up to 2 megapixels. A mask of 25 costs
# 0.2 s of a core, and its share of a minute is all that a request has.
INSTANCE_PIXELS_MAX = 1 << 30
# Of their runs, likewise: a mask has some 20 thousand, one of noise millions.
INSTANCE_CHARACTERS_MAX = 16 << 20
SCORE_MIN, MASK_THRESHOLD = 0.5, 0.5
TIMEOUT_SECONDS_DEFAULT = 60.0
TIMEOUT_SECONDS_MAX = 3_600.0


@dataclass(frozen=True)
class SegmentRequest:
    """Several concepts in one picture.

    Attributes:
        picture: The file: PNG, JPEG or WebP.
        concepts: 1 to 16 of 1 to 100 characters, in Korean or English.
        model: An installed segmenter, or empty for the first one.
        score_min: An instance with a lower score is left out, and a concept that is there with less
            probability has no masks, 0 to 1; None: the model's default.
        mask_threshold: A pixel with more than this probability belongs to a mask, 0 to 1.
        timeout_seconds: Of the work; time in the queue is not counted.
    """

    picture: bytes
    concepts: tuple[str, ...]
    model: str = ""
    score_min: float | None = None
    mask_threshold: float = MASK_THRESHOLD
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT

    def check(self) -> None:
        """Refuses what no model could do.

        Raises:
            InvalidRequest: Names the first field that is not valid.
        """
        score = 0.5 if self.score_min is None else self.score_min
        rules = [
            ("concepts", 1 <= len(self.concepts) <= CONCEPTS_MAX, f"1 to {CONCEPTS_MAX}"),
            ("score_min", 0 <= score <= 1, "must be 0 to 1"),
            ("mask_threshold", 0 < self.mask_threshold < 1, "must be between 0 and 1"),
            (
                "timeout_seconds",
                math.isfinite(self.timeout_seconds)
                and 0 < self.timeout_seconds <= TIMEOUT_SECONDS_MAX,
                "must be more than 0 and at most 3,600",
            ),
        ]
        for at, concept in enumerate(self.concepts):
            fits = len(concept.strip()) >= 1 and len(concept) <= CONCEPT_CHARACTERS_MAX
            rules.append((f"concepts[{at}]", fits, f"1 to {CONCEPT_CHARACTERS_MAX} characters"))
        for field, valid, message in rules:
            if not valid:
                raise InvalidRequest(f"{field}: {message}", field=field)


def instances_max(pixels: int, concepts: int) -> int:
    """How many instances of one concept are looked at.

    Args:
        pixels: Of the picture.
        concepts: How many are asked of it; each has the same share, whatever the others find.

    Returns:
        1 to 32.
    """
    return max(1, min(INSTANCES_MAX, INSTANCE_PIXELS_MAX // (pixels * concepts)))


@dataclass(frozen=True)
class Instance:
    """One thing that a concept names.

    Attributes:
        mask: Its pixels; its box is the mask's.
        score: How sure the model is, 0 to 1.
    """

    mask: Runs
    score: float


@dataclass(frozen=True)
class Found:
    """What a concept names in a picture.

    Attributes:
        concept: As it was asked for.
        asked_as: The words that the model was given.
        presence: The probability that it is there at all.
        union: Everything that it names, for walls and floors as well as for things: the model's
            semantic mask or, where that is empty, all instances together.
        instances: Its things one by one, the surest first; as many as :func:`instances_max` says,
            or fewer where their runs are very long.
        left_out: How many more had a score that counts, all below those of `instances`.
    """

    concept: str
    asked_as: str
    presence: float
    union: Runs
    instances: tuple[Instance, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Segmentation:
    """All concepts in one picture.

    Attributes:
        model: The segmenter that was asked.
        height: Of the picture, upright, in pixels.
        width: Of the picture, upright, in pixels.
        found: One for each concept, in their order.
        was_known: Whether the picture had been looked at before, so that only words were new.
        seconds: Of work, without the time in the queue.
    """

    model: str
    height: int
    width: int
    found: tuple[Found, ...]
    was_known: bool
    seconds: float


class Watcher(Protocol):
    """Who asked; called on the engine's thread, so that every method returns at once.

    Exactly one of ``finished`` and ``failed`` is called.
    """

    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""

    def finished(self, segmentation: Segmentation) -> None:
        """The answer."""

    def failed(self, error: EngineError) -> None:
        """There is none."""
