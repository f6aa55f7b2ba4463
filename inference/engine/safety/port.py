"""The port of the safety check: a verdict per picture. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Verdict:
    """What a check says of a picture.

    Attributes:
        allowed: Whether the picture may be kept and shown.
        score: 1 is harmless, 0 is not; how far from refusal.
        flags: What was found, in the check's own words.
        check: Which check said it; empty: none was asked.
    """

    allowed: bool = True
    score: float = 1.0
    flags: tuple[str, ...] = ()
    check: str = ""


UNCHECKED = Verdict()


class Check(Protocol):
    """Looks at a picture before anybody sees it."""

    def judge(self, pixels: NDArray[np.uint8], prompt: str) -> Verdict:
        """Judges one picture.

        Args:
            pixels: uint8 (height, width, 3), RGB.
            prompt: What it was asked to be.

        Raises:
            CheckFailed: There is no verdict.
        """


class Off:
    """Asks nobody."""

    def judge(self, pixels: NDArray[np.uint8], prompt: str) -> Verdict:  # noqa: ARG002
        """Allows everything, and says that nothing was checked."""
        return UNCHECKED
