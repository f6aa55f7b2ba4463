"""SDXL, its kin of few steps, and its denoisers made for painting over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from torch import nn

from inference.engine.models import pipeline
from inference.engine.models.adapter import Weights
from inference.engine.models.codec import Codec
from inference.engine.models.control import ControlNets, Hint
from inference.engine.models.defaults import Defaults
from inference.engine.models.row import Conditions, Row
from inference.engine.request import ImageRequest
from inference.engine.shapes import Size

SMALL_PX = 256
_PAINTING_CHANNELS = 9


class Sdxl:
    """The modules of a ``StableDiffusionXLPipeline``, called one by one.

    A UNet distilled to take its guidance as a number (``time_cond_proj_dim``: latent consistency
    models) is told it and needs no second lane.
    """

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._device = device
        self._pipeline, self._dtype = pipeline.read(
            StableDiffusionXLPipeline, directory, device, torch.float16, add_watermarker=False
        )
        self._unet = self._pipeline.unet.eval()
        self._controls = ControlNets(directory, self._dtype, device)
        self.codec = Codec(self._pipeline.vae)
        self.scheduler = self._pipeline.scheduler
        self.base_px = self._unet.config.sample_size * self.codec.cell_px
        self.multiple_px = 2 * self.codec.cell_px
        self.paints_over = self._unet.config.in_channels == _PAINTING_CHANNELS
        self.usual = Defaults(12, 4.0) if self.base_px <= SMALL_PX else Defaults(30, 5.0)
        self.trunks: Mapping[str, nn.Module] = {
            "unet": self._unet,
            "text_encoder": self._pipeline.text_encoder,
            "text_encoder_2": self._pipeline.text_encoder_2,
        }

    @property
    def modules(self) -> Sequence[nn.Module]:
        """Everything that takes memory."""
        return [*self.trunks.values(), self._pipeline.vae, *self._controls.modules]

    def read_adapter(self, weights: Weights) -> tuple[Weights, Mapping[str, float] | None]:
        """Turns an adapter file's weights into the keys of diffusers, with its alphas."""
        read = StableDiffusionXLPipeline.lora_state_dict(weights, unet_config=self._unet.config)
        return read[0], read[1]

    def tokens(self, size: Size) -> int:  # noqa: ARG002  # the steps of noise are not shifted
        """None that would matter."""
        return 0

    @property
    def _told_guidance(self) -> int | None:
        dimension: int | None = self._unet.config.time_cond_proj_dim
        return dimension

    def conditions(self, request: ImageRequest, guidance_scale: float, size: Size) -> Conditions:
        """Encodes a request's words."""
        guided = guidance_scale > 1 and self._told_guidance is None
        # No negative prompt is not the same as an empty one: the pipeline then takes zeros, where
        # the model was trained so (force_zeros_for_empty_prompt).
        tokens, negative, pooled, negative_pooled = self._pipeline.encode_prompt(
            request.prompt,
            device=self._device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=request.negative_prompt or None,
        )
        if guided:
            tokens, pooled = torch.cat([negative, tokens]), torch.cat([negative_pooled, pooled])
        edges = [size.height, size.width, 0, 0, size.height, size.width]
        sizes = torch.tensor([edges], dtype=self._dtype, device=self._device)
        return Conditions(tokens, pooled, sizes.expand(tokens.shape[0], -1))

    def hints(self, request: ImageRequest, size: Size) -> Sequence[Hint]:
        """Makes the drawings that a request wants followed.

        Raises:
            InvalidRequest: The model follows no such drawings.
        """
        return [self._controls.hint(control, size) for control in request.controls]

    def denoise(self, rows: Sequence[Row]) -> torch.Tensor:
        """Asks the UNet once for rows of one shape, each at its own time."""
        conditions = [row.conditions for row in rows]
        latents = torch.cat([row.scaled() for row in rows]).to(self._dtype)
        times = torch.cat([row.times() for row in rows]).to(self._device)
        tokens = torch.cat([each.tokens for each in conditions])
        added = {
            "text_embeds": torch.cat([each.pooled for each in conditions]),
            "time_ids": torch.cat([each.sizes for each in conditions]),
        }
        residuals = self._controls.residuals(rows, latents, times, tokens, added)
        made = self._unet(
            latents,
            times,
            tokens,
            timestep_cond=self._guidance(rows),
            added_cond_kwargs=added,
            **residuals,
        )
        return made.sample

    def _guidance(self, rows: Sequence[Row]) -> torch.Tensor | None:
        if self._told_guidance is None:
            return None
        scales = torch.tensor([row.guidance_scale - 1 for row in rows], dtype=torch.float32)
        embedded = self._pipeline.get_guidance_scale_embedding(
            scales, embedding_dim=self._told_guidance, dtype=torch.float32
        )
        return embedded.to(self._device, self._dtype)
