"""Drawings that a picture has to follow: edges and depth, through ControlNets beside the model.

A model's folder may hold ``controlnets/<kind>/``, a ``ControlNetModel`` as diffusers saves it, and
for depth ``controlnets/depth/estimator/``, a depth model as transformers saves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel
from numpy.typing import NDArray
from torch.nn import functional
from transformers import AutoModelForDepthEstimation

from inference.engine.errors import InvalidRequest
from inference.engine.material import CONTROL_KINDS, Control
from inference.engine.models import tensors
from inference.engine.pictures import fitting
from inference.engine.shapes import Size

if TYPE_CHECKING:
    from inference.engine.models.row import Row

FOLDER, ESTIMATOR = "controlnets", "estimator"
# The thresholds of the examples that SDXL's canny ControlNets were published with.
_CANNY_LOW, _CANNY_HIGH = 100, 200
_GREY = 0.5  # mean and deviation of DPT's pictures

Residuals = dict[str, Any]
Parts = list[torch.Tensor]  # one for every block of the UNet, the middle one last


@dataclass(frozen=True, eq=False)
class Hint:
    """A drawing, ready for its ControlNet.

    Attributes:
        kind: Which ControlNet.
        drawing: (1, 3, height, width) from 0 to 1.
        scale: How much it weighs.
        start: Share of the steps before which it does not act.
        end: Share of the steps after which it does not act.
    """

    kind: str
    drawing: torch.Tensor
    scale: float
    start: float
    end: float

    def acts(self, index: int, count: int) -> bool:
        """Whether it acts at a step, by the rule of diffusers' pipelines."""
        return index / count >= self.start and (index + 1) / count <= self.end


class ControlNets:
    """The ControlNets of one model.

    Args:
        directory: The model's folder.
        dtype: Of their weights.
        device: Where they run.
    """

    def __init__(self, directory: Path, dtype: torch.dtype, device: torch.device) -> None:
        self._device, self._dtype = device, dtype
        folders = {kind: directory / FOLDER / kind for kind in CONTROL_KINDS}
        found = {kind: path for kind, path in folders.items() if (path / "config.json").exists()}
        self._nets = {kind: _load(path, dtype, device) for kind, path in found.items()}
        self._estimator = self._load_estimator(folders["depth"] / ESTIMATOR)

    @property
    def modules(self) -> list[torch.nn.Module]:
        """Everything that takes memory."""
        return [*self._nets.values(), *([self._estimator] if self._estimator else [])]

    def hint(self, control: Control, size: Size) -> Hint:
        """Makes the drawing that a request asks for.

        Raises:
            InvalidRequest: The model has no such ControlNet, or nothing that could measure depth.
        """
        if control.kind not in self._nets:
            message = f"controls.kind: this model follows no {control.kind} drawings"
            raise InvalidRequest(message, field="controls.kind")
        picture = fitting.covering(control.image, size, sharp=control.prepared)
        if not control.prepared:
            picture = canny(picture) if control.kind == "canny" else self._depth(picture)
        drawing = tensors.unit(picture, self._device).to(self._dtype)
        return Hint(control.kind, drawing, control.scale, control.start, control.end)

    def residuals(
        self,
        rows: Sequence[Row],
        latents: torch.Tensor,
        times: torch.Tensor,
        tokens: torch.Tensor,
        added: Mapping[str, torch.Tensor],
    ) -> Residuals:
        """What the ControlNets add inside the UNet: zeros for the lanes of rows without a drawing.

        Args:
            rows: The rows of the step; a row's lanes follow each other.
            latents: (lanes, channels, h, w), what the UNet sees.
            times: (lanes,).
            tokens: (lanes, tokens, width).
            added: SDXL's further conditions, (lanes, ...) each.

        Returns:
            Arguments of the UNet; empty where no drawing acts.
        """
        total: Parts = []
        for kind, net in self._nets.items():
            lanes, hints = _lanes(rows, kind)
            if not hints:
                continue
            chosen = torch.tensor(lanes, device=self._device)
            drawings = torch.cat([hint.drawing for hint in hints])
            made = net(
                latents[chosen, : net.config.in_channels],
                times[chosen],
                tokens[chosen],
                drawings,
                added_cond_kwargs={name: each[chosen] for name, each in added.items()},
                return_dict=False,
            )
            parts = _spread(made, chosen, [hint.scale for hint in hints], len(latents))
            total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts
        return _named(total)

    def _load_estimator(self, path: Path) -> Any:
        if not (path / "config.json").exists():
            return None
        model = AutoModelForDepthEstimation.from_pretrained(
            path, local_files_only=True, use_safetensors=True
        )
        return model.to(self._device).eval()

    @torch.inference_mode()
    def _depth(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Measures depth; near is light, as the ControlNets learnt it."""
        if self._estimator is None:
            message = "controls.prepared: no depth model is installed, so the map has to be given"
            raise InvalidRequest(message, field="controls.prepared")
        height, width = picture.shape[:2]
        config = self._estimator.config
        side = int(getattr(config, "image_size", None) or config.backbone_config.image_size)
        seen = functional.interpolate(tensors.unit(picture, self._device), (side, side))
        depth = self._estimator((seen - _GREY) / _GREY).predicted_depth[:, None]
        depth = functional.interpolate(depth, (height, width), mode="bilinear")
        low, high = depth.amin(), depth.amax()
        grey = ((depth - low) / (high - low).clamp(min=1e-6) * 255).round().byte()
        return np.repeat(grey[0, 0].cpu().numpy()[:, :, None], 3, 2)


def canny(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draws edges in white on black: uint8 (height, width, 3)."""
    edges = cv2.Canny(picture, _CANNY_LOW, _CANNY_HIGH)
    return np.repeat(edges[:, :, None], 3, 2)


def _load(path: Path, dtype: torch.dtype, device: torch.device) -> Any:
    net = ControlNetModel.from_pretrained(
        path,
        local_files_only=True,
        use_safetensors=True,
        torch_dtype=dtype,
        low_cpu_mem_usage=False,
    )
    return net.to(device).eval()


def _lanes(rows: Iterable[Row], kind: str) -> tuple[list[int], list[Hint]]:
    """Which lanes follow a drawing of a kind at this step, and which drawing each."""
    lanes: list[int] = []
    hints: list[Hint] = []
    first = 0
    for row in rows:
        for hint in row.acting():
            if hint.kind == kind:
                lanes += range(first, first + row.conditions.lanes)
                hints += [hint] * row.conditions.lanes
        first += row.conditions.lanes
    return lanes, hints


def _spread(made: Any, lanes: torch.Tensor, scales: Sequence[float], count: int) -> Parts:
    """Lays scaled residuals of some lanes, (down, middle), into zeros for all of them."""
    down, middle = made
    weights = torch.tensor(scales, dtype=middle.dtype, device=middle.device).view(-1, 1, 1, 1)
    # Added, because a lane may follow two drawings of one kind.
    return [
        part.new_zeros((count, *part.shape[1:])).index_add_(0, lanes, part * weights)
        for part in (*down, middle)
    ]


def _named(parts: Parts) -> Residuals:
    """Residuals as the UNet wants them."""
    if not parts:
        return {}
    return {
        "down_block_additional_residuals": tuple(parts[:-1]),
        "mid_block_additional_residual": parts[-1],
    }
