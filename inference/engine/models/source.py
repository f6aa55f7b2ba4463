"""The picture that a row begins from, and what of it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from inference.engine.models import tensors
from inference.engine.pictures import fitting
from inference.engine.request import ImageRequest
from inference.engine.shapes import Size

HALF = 128


@dataclass(frozen=True, eq=False)
class PaintMask:
    """What of a picture is painted anew.

    Attributes:
        pixels: uint8 (height, width): 255 painted anew, 0 kept.
        cells: (1, 1, h, w) of latents, 1 where any pixel of the cell is mostly painted anew.
    """

    pixels: NDArray[np.uint8]
    cells: torch.Tensor


@dataclass(frozen=True, eq=False)
class Source:
    """What a row begins from.

    Attributes:
        picture: uint8 (height, width, 3), fitted to the row's size.
        clean: Its latents (1, channels, h, w), float32.
        noise: The row's noise, of the same shape.
        mask: What is painted anew; None: everything.
        blended: Whether kept cells are put back after each step. A denoiser made for painting over
            sees them and needs no such help.
    """

    picture: NDArray[np.uint8]
    clean: torch.Tensor
    noise: torch.Tensor
    mask: PaintMask | None
    blended: bool

    def keep(self, latents: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Puts kept cells back into latents."""
        if self.mask is None or not self.blended:
            return latents
        return kept + self.mask.cells * (latents - kept)

    def finish(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Lays the painted part over the picture, of which no other byte changes."""
        if self.mask is None:
            return pixels
        return fitting.over(self.picture, pixels, self.mask.pixels)


def fitted_mask(
    request: ImageRequest, size: Size, cells: tuple[int, int], device: torch.device
) -> PaintMask | None:
    """Fits a request's mask to a size, together with its picture."""
    image, mask = request.image, request.mask
    if image is None or mask is None:
        return None
    pixels = fitting.covering(fitting.stretched(mask, image.width, image.height), size)
    painted = torch.from_numpy((pixels >= HALF).astype(np.float32))[None, None]
    # The greatest, so that a thin line is not lost between cells.
    return PaintMask(pixels, functional.adaptive_max_pool2d(painted, cells).to(device))


def seen_while_painting(
    picture: NDArray[np.uint8] | None,
    mask: PaintMask | None,
    size: Size,
    cells: tuple[int, int],
    encode: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
) -> torch.Tensor:
    """What a denoiser made for painting over sees beside latents: (1, 1 + channels, h, w).

    The mask's cells and the latents of the picture with grey where it is painted anew. Without a
    mask everything is, so that the same denoiser draws whole pictures too.
    """
    if picture is None or mask is None:
        single = {"dtype": torch.float32, "device": device}
        grey = torch.zeros((1, 3, size.height, size.width), **single)
        return torch.cat([torch.ones((1, 1, *cells), **single), encode(grey)], 1)
    kept = torch.from_numpy(mask.pixels < HALF).to(device)
    return torch.cat([mask.cells, encode(tensors.centred(picture, device) * kept)], 1)
