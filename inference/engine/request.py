"""What one row of the sampler is asked for, and what it answers. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference.engine.errors import EngineError, InvalidRequest
from inference.engine.shapes import ASPECTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROMPT_CHARACTERS_MAX = 2_000
STEPS_MAX = 100
GUIDANCE_SCALE_MAX = 30.0
TIMEOUT_SECONDS_DEFAULT = 60.0
TIMEOUT_SECONDS_MAX = 3_600.0
SEED_MAX = 2**63
SCHEDULERS = ("euler", "dpm", "ddim")


@dataclass(frozen=True)
class ImageRequest:
    """One picture.

    Attributes:
        prompt: What to draw, 1 to 2,000 characters.
        negative_prompt: What to avoid, or empty.
        model: An installed model, or empty for the default one.
        aspect: One of :data:`ASPECTS`.
        steps: Sampling steps, 1 to 100; 0: the model's default.
        guidance_scale: 0 to 30, up to 1 without guidance; None: the model's default.
        seed: The same seed gives the same picture.
        scheduler: One of :data:`SCHEDULERS`, or empty for the model's own.
        previews: Whether progress carries small pictures.
        timeout_seconds: Of sampling; time in the queue is not counted.
    """

    prompt: str
    negative_prompt: str = ""
    model: str = ""
    aspect: str = "1:1"
    steps: int = 0
    guidance_scale: float | None = None
    seed: int = 0
    scheduler: str = ""
    previews: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT

    def check(self) -> None:
        """Refuses what no model could draw.

        Raises:
            InvalidRequest: Names the first field that is not valid.
        """
        guidance = 0.0 if self.guidance_scale is None else self.guidance_scale
        rules = (
            ("prompt", len(self.prompt.strip()) >= 1, "must not be empty"),
            ("prompt", len(self.prompt) <= PROMPT_CHARACTERS_MAX, "2,000 characters at most"),
            (
                "negative_prompt",
                len(self.negative_prompt) <= PROMPT_CHARACTERS_MAX,
                "2,000 characters at most",
            ),
            ("aspect", self.aspect in ASPECTS, f"must be one of {', '.join(ASPECTS)}"),
            ("steps", 0 <= self.steps <= STEPS_MAX, f"must be 0 to {STEPS_MAX}"),
            ("guidance_scale", 0 <= guidance <= GUIDANCE_SCALE_MAX, "must be 0 to 30"),
            ("seed", -SEED_MAX <= self.seed < SEED_MAX, "must fit into 64 bits"),
            (
                "scheduler",
                self.scheduler in ("", *SCHEDULERS),
                f"must be one of {', '.join(SCHEDULERS)}, or empty",
            ),
            (
                "timeout_seconds",
                math.isfinite(self.timeout_seconds)
                and 0 < self.timeout_seconds <= TIMEOUT_SECONDS_MAX,
                "must be more than 0 and at most 3,600",
            ),
        )
        for field, valid, message in rules:
            if not valid:
                raise InvalidRequest(f"{field}: {message}", field=field)


@dataclass(frozen=True)
class Progress:
    """How far a row is.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        preview: A JPEG of at most 32 kB, or empty.
    """

    step: int
    steps: int
    preview: bytes = b""


@dataclass(frozen=True)
class Picture:
    """What a row became.

    Attributes:
        pixels: uint8 (height, width, 3), RGB.
        model: The model that drew it.
        seed: The seed that was used.
        steps: Steps that were used.
        guidance_scale: Guidance scale that was used.
        seconds: Seconds of sampling, without the time in the queue.
    """

    pixels: NDArray[np.uint8]
    model: str
    seed: int
    steps: int
    guidance_scale: float
    seconds: float


class Watcher(Protocol):
    """Who asked for a row; called on the engine's thread, so that every method returns at once.

    After any number of ``progress`` exactly one of ``finished`` and ``failed`` is called.
    """

    def cancelled(self) -> bool:
        """Whether nobody waits for the row any more."""

    def progress(self, progress: Progress) -> None:
        """The row has done another step."""

    def finished(self, picture: Picture) -> None:
        """The row is a picture."""

    def failed(self, error: EngineError) -> None:
        """The row ended without a picture."""
