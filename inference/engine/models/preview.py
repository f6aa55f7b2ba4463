"""Previews: latents to RGB by one linear map, hundreds of times cheaper than the decoder."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from PIL import Image
from torch.nn import functional

PREVIEW_BYTES_MAX = 32_000
_SIDE_PX = 256
_FIT_PICTURES, _FIT_CELLS, _FIT_COARSE_CELLS = 8, 16, 4
_QUALITIES = (80, 60, 40, 20)


@dataclass(frozen=True)
class PreviewMap:
    """A linear map from latents to colours.

    Attributes:
        weights: (channels + 1, 3), the last row being the constant.
    """

    weights: torch.Tensor

    @classmethod
    def fit(
        cls,
        decode: Callable[[torch.Tensor], torch.Tensor],
        channels: int,
        device: torch.device,
    ) -> Self:
        """Fits the map by least squares to what the decoder makes of a few smooth latents.

        Smooth, because neighbouring latents of a picture are alike.
        """
        generator = torch.Generator().manual_seed(0)
        shape = (_FIT_PICTURES, channels, _FIT_COARSE_CELLS, _FIT_COARSE_CELLS)
        coarse = torch.randn(shape, generator=generator, dtype=torch.float32)
        latents = functional.interpolate(coarse, size=_FIT_CELLS, mode="bicubic")
        rgb = decode(latents.to(device)).cpu()
        target = functional.adaptive_avg_pool2d(rgb, _FIT_CELLS)
        points = torch.cat([latents, torch.ones_like(latents[:, :1])], 1)
        known = points.permute(0, 2, 3, 1).flatten(0, 2)
        wanted = target.permute(0, 2, 3, 1).flatten(0, 2)
        return cls(torch.linalg.lstsq(known, wanted.nan_to_num()).solution)

    @torch.inference_mode()
    def jpeg(self, latents: torch.Tensor, width: int, height: int) -> bytes:
        """Draws one row's latents (1, channels, h, w) as a JPEG of at most 32 kB."""
        cells = latents[0].float().cpu().permute(1, 2, 0)
        rgb = cells @ self.weights[:-1] + self.weights[-1]
        pixels = (rgb / 2 + 0.5).nan_to_num().clamp(0, 1).mul(255).byte().numpy()
        shrink = min(1.0, _SIDE_PX / max(width, height))
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        return _within_limit(picture)


def _within_limit(picture: Image.Image) -> bytes:
    for quality in _QUALITIES:
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality)
        if out.tell() <= PREVIEW_BYTES_MAX:
            return out.getvalue()
    return b""
