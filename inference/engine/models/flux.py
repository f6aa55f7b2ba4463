"""Flux: a transformer over patches of latents, told its guidance, sampled along a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import FluxPipeline
from torch import nn

from inference.engine.errors import InvalidRequest
from inference.engine.models import pipeline
from inference.engine.models.adapter import Weights
from inference.engine.models.codec import Codec
from inference.engine.models.control import Hint
from inference.engine.models.defaults import Defaults
from inference.engine.models.row import Conditions, Row
from inference.engine.request import ImageRequest
from inference.engine.shapes import Size

TOKENS_MAX = 512
_TIMES = 1_000.0  # the transformer counts time from 0 to 1, the scheduler to 1,000


class Flux:
    """The modules of a ``FluxPipeline``, called one by one.

    Rows keep their latents as pictures (channels, h, w), like every other architecture; patches of
    2 x 2 are made of them only for the transformer. There is one lane and no negative prompt.
    """

    paints_over = False

    def __init__(self, directory: Path, device: torch.device) -> None:
        self._device = device
        self._pipeline, self._dtype = pipeline.read(FluxPipeline, directory, device, torch.bfloat16)
        self._transformer = self._pipeline.transformer.eval()
        self.codec = Codec(self._pipeline.vae)
        self.scheduler = self._pipeline.scheduler
        self.base_px = int(self._pipeline.vae.config.sample_size)
        self.multiple_px = 2 * self.codec.cell_px
        self._told_guidance = bool(self._transformer.config.guidance_embeds)
        # As their cards say of the distilled models "dev" and "schnell".
        self.usual = Defaults(28, 3.5) if self._told_guidance else Defaults(4, 0.0)
        self.trunks: Mapping[str, nn.Module] = {
            "transformer": self._transformer,
            "text_encoder": self._pipeline.text_encoder,
        }

    @property
    def modules(self) -> Sequence[nn.Module]:
        """Everything that takes memory."""
        return [*self.trunks.values(), self._pipeline.text_encoder_2, self._pipeline.vae]

    def read_adapter(self, weights: Weights) -> tuple[Weights, Mapping[str, float] | None]:
        """Turns an adapter file's weights into the keys of diffusers, with its alphas."""
        read = FluxPipeline.lora_state_dict(weights, return_alphas=True)
        return read[0], read[1]

    def tokens(self, size: Size) -> int:
        """Patches of a picture of that size."""
        return (size.width // self.multiple_px) * (size.height // self.multiple_px)

    def conditions(
        self,
        request: ImageRequest,
        guidance_scale: float,  # noqa: ARG002  # told to the transformer, at every step
        size: Size,  # noqa: ARG002  # neither changes the words
    ) -> Conditions:
        """Encodes a request's words."""
        longest = min(TOKENS_MAX, self._pipeline.tokenizer_2.model_max_length)
        tokens, pooled, _ = self._pipeline.encode_prompt(
            request.prompt,
            None,
            device=self._device,
            num_images_per_prompt=1,
            max_sequence_length=longest,
        )
        return Conditions(tokens, pooled, tokens.new_zeros((1, 0)))

    def hints(self, request: ImageRequest, size: Size) -> Sequence[Hint]:  # noqa: ARG002
        """None: Flux follows no drawings here.

        Raises:
            InvalidRequest: The request wants one followed.
        """
        if request.controls:
            raise InvalidRequest("controls: this model follows no drawings", field="controls")
        return ()

    def denoise(self, rows: Sequence[Row]) -> torch.Tensor:
        """Asks the transformer once for rows of one shape, each at its own time."""
        latents = torch.cat([row.scaled() for row in rows]).to(self._dtype)
        height, width = latents.shape[2:]
        tokens = torch.cat([row.conditions.tokens for row in rows])
        times = torch.cat([row.times() for row in rows]).to(self._device, self._dtype)
        made = self._transformer(
            hidden_states=_packed(latents),
            timestep=times / _TIMES,
            guidance=self._guidance(rows),
            pooled_projections=torch.cat([row.conditions.pooled for row in rows]),
            encoder_hidden_states=tokens,
            txt_ids=tokens.new_zeros((tokens.shape[1], 3)),
            img_ids=self._places(height // 2, width // 2),
        ).sample
        return _unpacked(made, height, width)

    def _guidance(self, rows: Sequence[Row]) -> torch.Tensor | None:
        if not self._told_guidance:
            return None
        return torch.tensor(
            [row.guidance_scale for row in rows], dtype=torch.float32, device=self._device
        )

    def _places(self, height: int, width: int) -> torch.Tensor:
        places = torch.zeros(height, width, 3, dtype=torch.float32)
        places[..., 1] = torch.arange(height)[:, None]
        places[..., 2] = torch.arange(width)[None, :]
        return places.view(-1, 3).to(self._device, self._dtype)


def _packed(latents: torch.Tensor) -> torch.Tensor:
    """(n, c, h, w) to (n, h/2 * w/2, 4c)."""
    n, c, h, w = latents.shape
    patches = latents.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(n, (h // 2) * (w // 2), 4 * c)


def _unpacked(patches: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(n, h/2 * w/2, 4c) to (n, c, h, w)."""
    n, _, c = patches.shape
    cells = patches.view(n, height // 2, width // 2, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return cells.reshape(n, c // 4, height, width)
