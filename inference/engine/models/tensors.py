"""Pictures as the networks take them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def centred(picture: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Returns (1, 3, height, width) from -1 to 1, as the picture's encoder wants it."""
    return unit(picture, device) * 2 - 1


def unit(picture: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Returns (1, 3, height, width) from 0 to 1."""
    return torch.from_numpy(picture).to(device).permute(2, 0, 1)[None].float() / 255
