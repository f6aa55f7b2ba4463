"""What recolouring means, in double precision and without a table by bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.engine.rules.chroma import shares
from inference.engine.rules.colour import ciede2000, from_hex, to_lab, to_rgb, to_srgb

Lab = NDArray[np.float64]
_LIGHTNESS = np.linspace(0, 100, 100_001)


def recoloured(pixels: NDArray[np.uint8], colour: str, share: NDArray[np.float64]) -> Lab:
    """Lab of pixels (..., 3) that are a share (...) of the way to a colour; not rounded to bytes.

    Cut to what can be shown, as any picture is.
    """
    lab, wanted = to_lab(pixels), to_lab(from_hex(colour))
    rich = np.interp(lab[..., 0], _LIGHTNESS, shares(_LIGHTNESS, wanted))
    lab[..., 1:] += share[..., None] * (rich[..., None] * wanted[1:] - lab[..., 1:])
    return to_lab(to_srgb(lab))


def differences(made: NDArray[np.uint8], exact: Lab) -> Lab:
    """CIEDE2000 of bytes to what they should be."""
    return ciede2000(to_lab(made), exact)


def of_rounding(exact: Lab) -> Lab:
    """The same for the nearest bytes: no picture of bytes is better everywhere."""
    return differences(to_rgb(exact), exact)
