"""What differs between families of models; the rest is :class:`.model.Model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from inference.engine.models.adapter import Weights
from inference.engine.models.codec import Codec
from inference.engine.models.control import Hint
from inference.engine.models.defaults import Defaults
from inference.engine.models.row import Conditions, Row
from inference.engine.request import ImageRequest
from inference.engine.shapes import Size


class Architecture(Protocol):
    """One family: how words become conditions and how the denoiser is asked.

    Attributes:
        codec: Between pixels and latents.
        scheduler: The one saved with the model.
        base_px: Side of the square that the model was trained on.
        multiple_px: Both sides of a picture are multiples of it.
        paints_over: Whether the denoiser was made for painting over, and sees mask and picture.
        usual: Steps and guidance where nobody says any.
        trunks: The modules that adapters may change, by the prefix that their weights have.
        modules: Everything that takes memory.
    """

    codec: Codec
    scheduler: Any
    base_px: int
    multiple_px: int
    paints_over: bool
    usual: Defaults
    trunks: Mapping[str, nn.Module]

    @property
    def modules(self) -> Sequence[nn.Module]: ...

    def read_adapter(self, weights: Weights) -> tuple[Weights, Mapping[str, float] | None]:
        """Turns an adapter file's weights into the keys of diffusers, with its alphas."""

    def tokens(self, size: Size) -> int:
        """Patches of a picture of that size, by which models of flow shift their steps."""

    def conditions(self, request: ImageRequest, guidance_scale: float, size: Size) -> Conditions:
        """Encodes a request's words."""

    def hints(self, request: ImageRequest, size: Size) -> Sequence[Hint]:
        """Makes the drawings that a request wants followed.

        Raises:
            InvalidRequest: The model follows no such drawings.
        """

    def denoise(self, rows: Sequence[Row]) -> torch.Tensor:
        """Asks the denoiser once: (lanes of all rows, channels, h, w), not guided, any dtype."""
