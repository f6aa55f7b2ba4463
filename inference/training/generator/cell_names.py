"""What the cells of a picture show, read from the denoiser's features while it trains.

A denoiser whose features know what they draw learns faster (Yu et al. 2024, "Representation
alignment for generation", there with the features of another network). Here the drawn world says
it exactly. The heads are thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from inference.training.generator.labels import attributes, columns
from inference.training.world.layouts import OBJECTS_MAX
from inference.training.world.scenes import FIRST_OBJECT

STRIDE = 2  # cells of the latents per cell of the features that are read, in each direction
_BLOCK = 1  # of the way up
_NAMED = ("object", "colour", "material")


@dataclass(frozen=True)
class Shown:
    """What is shown, by cells of the features.

    `labels` int64 (B, h, w) as in the scenes; `names` int64 (B, h, w, 3): kind, colour and material
    where an object is.
    """

    labels: Tensor
    names: Tensor


class CellHeads(nn.Module):
    """Tells of each cell which of the objects it shows, or wall or surface, and their names."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        block = unet.up_blocks[_BLOCK]
        width = int(unet.config.block_out_channels[-1 - _BLOCK])
        self.norm = nn.LayerNorm(width)
        self.label = nn.Linear(width, FIRST_OBJECT + OBJECTS_MAX)
        self.names = nn.ModuleList(
            [nn.Linear(width, attributes()[columns(name)[0]].classes) for name in _NAMED]
        )
        self._block = [block]  # in a list, or its weights would be this module's
        self._heard: Tensor | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keeps the features of the forward pass inside the block."""

        def hear(_: nn.Module, __: object, output: Tensor) -> None:
            self._heard = output

        handle = self._block[0].register_forward_hook(hear)
        try:
            yield
        finally:
            handle.remove()

    def cells(self) -> Tensor:
        """What was heard last, normed, (B, h, w, width)."""
        if self._heard is None:
            raise RuntimeError("the denoiser was not run while the heads were listening")
        heard, self._heard = self._heard, None
        cells: Tensor = self.norm(heard.float().permute(0, 2, 3, 1))
        return cells


def shown_in(labels: Tensor, rows: Tensor) -> Shown:
    """From labels uint8 (B, h, w) per latent cell and classes (B, ATTRIBUTES)."""
    coarse = labels[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE].long()
    place = (coarse - FIRST_OBJECT).clamp(min=0)
    names = [
        torch.gather(rows[:, columns(name)], 1, place.flatten(1)).view_as(place) for name in _NAMED
    ]
    return Shown(coarse, torch.stack(names, -1))


def naming_loss(heads: CellHeads, shown: Shown) -> Tensor:
    """Cross entropy of the labels of all cells, and of the names where objects are."""
    cells = heads.cells()
    labels = shown.labels.to(cells.device)
    loss = functional.cross_entropy(heads.label(cells).flatten(0, 2), labels.flatten())
    is_object = labels >= FIRST_OBJECT
    of_objects, names = cells[is_object], shown.names.to(cells.device)[is_object]
    if len(of_objects) == 0:
        return loss
    for column, head in enumerate(heads.names):
        loss = loss + functional.cross_entropy(head(of_objects), names[:, column])
    return loss
