"""What one row of the sampler is asked for, and what it answers. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference.engine.errors import EngineError, InvalidRequest
from inference.engine.material import (
    CONTROLS_MAX,
    LORAS_MAX,
    Control,
    Lora,
    Pixels,
    Rule,
    picture_rules,
)
from inference.engine.safety.port import UNCHECKED, Verdict
from inference.engine.shapes import ASPECTS, SQUARE, nearest_aspect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROMPT_CHARACTERS_MAX = 2_000
STEPS_MAX = 100
GUIDANCE_SCALE_MAX = 30.0
TIMEOUT_SECONDS_DEFAULT = 60.0
TIMEOUT_SECONDS_MAX = 3_600.0
SEED_MAX = 2**63
STRENGTH_DEFAULT = 0.8
QUALITIES = ("fast", "standard", "best")
SCHEDULERS = (
    "euler",
    "euler_karras",
    "euler_a",
    "dpm",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "dpmpp_2m_sde",
    "ddim",
    "unipc",
    "lcm",
    "flow_euler",
)


@dataclass(frozen=True)
class ImageRequest:
    """One picture.

    Attributes:
        prompt: What to draw, 1 to 2,000 characters.
        negative_prompt: What to avoid, or empty; models without a lane for it ignore it.
        model: An installed model, or empty for the one of the quality.
        quality: One of :data:`QUALITIES`, or empty for the default model.
        aspect: One of :data:`ASPECTS`, or empty for the nearest to that of ``image``, else 1:1.
        steps: Sampling steps, 1 to 100; 0: the model's default.
        guidance_scale: 0 to 30, up to 1 without guidance; None: the model's default.
        seed: The same seed gives the same picture.
        scheduler: One of :data:`SCHEDULERS`, or empty for the model's own.
        previews: Whether progress carries small pictures.
        timeout_seconds: Of sampling; time in the queue is not counted.
        image: A picture to begin from, RGB; scaled to cover the size of the aspect and cut to its
            middle.
        strength: How much of it is drawn anew, above 0 to 1: that share of the steps is done.
            None: 1 with a mask, else 0.8. Without a picture it says nothing.
        mask: One band, stretched over the picture: 255 is painted anew, 0 is kept to the byte,
            values between are blended.
        controls: Drawings that the picture has to follow, two at most.
        loras: Adapters, four at most.
    """

    prompt: str
    negative_prompt: str = ""
    model: str = ""
    aspect: str = ""
    steps: int = 0
    guidance_scale: float | None = None
    seed: int = 0
    scheduler: str = ""
    previews: bool = False
    timeout_seconds: float = TIMEOUT_SECONDS_DEFAULT
    quality: str = ""
    image: Pixels | None = None
    strength: float | None = None
    mask: Pixels | None = None
    controls: tuple[Control, ...] = ()
    loras: tuple[Lora, ...] = ()

    @property
    def resolved_aspect(self) -> str:
        """The aspect that counts."""
        if self.aspect or self.image is None:
            return self.aspect or SQUARE
        return nearest_aspect(self.image.width, self.image.height)

    @property
    def renewal(self) -> float:
        """The strength that counts: 1 without a picture to begin from."""
        if self.image is None:
            return 1.0
        usual = STRENGTH_DEFAULT if self.mask is None else 1.0
        return usual if self.strength is None else self.strength

    @property
    def picture_bytes(self) -> int:
        """Memory of the pictures that it brings along."""
        given = (self.image, self.mask, *(control.image for control in self.controls))
        return sum(len(pixels.data) for pixels in given if pixels)

    def check(self) -> None:
        """Refuses what no model could draw.

        Raises:
            InvalidRequest: Names the first field that is not valid.
        """
        for field, valid, message in (*self._rules(), *self._material_rules()):
            if not valid:
                raise InvalidRequest(f"{field}: {message}", field=field)

    def _rules(self) -> Iterator[Rule]:
        guidance = 0.0 if self.guidance_scale is None else self.guidance_scale
        limit = PROMPT_CHARACTERS_MAX
        known, qualities = ", ".join(SCHEDULERS), ", ".join(QUALITIES)
        yield "prompt", len(self.prompt.strip()) >= 1, "must not be empty"
        yield "prompt", len(self.prompt) <= limit, "2,000 characters at most"
        yield "negative_prompt", len(self.negative_prompt) <= limit, "2,000 characters at most"
        aspects = ", ".join(ASPECTS)
        yield "aspect", self.aspect in ("", *ASPECTS), f"must be one of {aspects}, or empty"
        yield "steps", 0 <= self.steps <= STEPS_MAX, f"must be 0 to {STEPS_MAX}"
        yield "guidance_scale", 0 <= guidance <= GUIDANCE_SCALE_MAX, "must be 0 to 30"
        yield "seed", -SEED_MAX <= self.seed < SEED_MAX, "must fit into 64 bits"
        named = self.scheduler in ("", *SCHEDULERS)
        yield "scheduler", named, f"must be one of {known}, or empty"
        yield "quality", self.quality in ("", *QUALITIES), f"must be one of {qualities}, or empty"
        seconds = self.timeout_seconds
        in_time = math.isfinite(seconds) and 0 < seconds <= TIMEOUT_SECONDS_MAX
        yield "timeout_seconds", in_time, "must be more than 0 and at most 3,600"

    def _material_rules(self) -> Iterator[Rule]:
        strength = 1.0 if self.strength is None else self.strength
        yield "strength", 0 < strength <= 1, "must be more than 0 and at most 1"
        yield from picture_rules(self.image, self.mask)
        yield "controls", len(self.controls) <= CONTROLS_MAX, f"{CONTROLS_MAX} at most"
        yield "loras", len(self.loras) <= LORAS_MAX, f"{LORAS_MAX} at most"
        for part in (*self.controls, *self.loras):
            yield from part.rules()
        names = [lora.name for lora in self.loras]
        yield "loras.name", len(set(names)) == len(names), "must not be named twice"


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
        verdict: What the safety check says; a refused picture is never stored.
    """

    pixels: NDArray[np.uint8]
    model: str
    seed: int
    steps: int
    guidance_scale: float
    seconds: float
    verdict: Verdict = UNCHECKED


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
