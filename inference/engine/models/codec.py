"""Between pixels and latents: an AutoencoderKL and its scale."""

from __future__ import annotations

from typing import Any

import torch


class Codec:
    """Encodes and decodes; latents outside are float32.

    Args:
        vae: An ``AutoencoderKL``.
    """

    def __init__(self, vae: Any) -> None:
        self._vae = vae.eval()
        config = vae.config
        self.channels = int(config.latent_channels)
        self.cell_px = 2 ** (len(config.block_out_channels) - 1)
        if getattr(config, "force_upcast", False) and vae.dtype is torch.float16:
            # In half precision its activations overflow.
            vae.to(torch.float32)
        self._scale, self._shift = _affine(config, vae.device)

    @torch.inference_mode()
    def encode(self, rgb: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Encodes (n, 3, height, width), -1 to 1, drawing from the encoder's distribution."""
        given = rgb.to(self._vae.device, self._vae.dtype)
        drawn = self._vae.encode(given).latent_dist.sample(generator).float()
        return (drawn - self._shift) * self._scale

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decodes (n, channels, h, w) to RGB (n, 3, height, width), about -1 to 1, float32."""
        given = (latents / self._scale + self._shift).to(self._vae.dtype)
        return self._vae.decode(given).sample.float()


def _affine(config: Any, device: torch.device) -> tuple[Any, Any]:
    """Scale and shift: one of each, or SDXL's way of one per channel."""
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is not None and std is not None:
        shift, spread = (
            torch.tensor(each, dtype=torch.float32, device=device).view(1, -1, 1, 1)
            for each in (mean, std)
        )
        return config.scaling_factor / spread, shift
    return config.scaling_factor, getattr(config, "shift_factor", None) or 0.0
