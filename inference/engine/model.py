"""A model: the modules of a StableDiffusionXLPipeline, called one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from numpy.typing import NDArray

from inference.engine.preview import PreviewMap
from inference.engine.request import ImageRequest, Watcher
from inference.engine.row import Conditions, Row, Shape
from inference.engine.schedulers import Schedule
from inference.engine.shapes import Size, size_of

SMALL_PX = 256


@dataclass(frozen=True)
class Defaults:
    """What a request leaves open."""

    steps: int
    guidance_scale: float


def read_defaults(directory: Path, base_px: int) -> Defaults:
    """Reads ``atelier.json`` beside the model; where it lacks, by the size of the model."""
    usual = {"steps": 12, "guidance_scale": 4.0}
    if base_px > SMALL_PX:
        usual = {"steps": 30, "guidance_scale": 5.0}
    path = directory / "atelier.json"
    said = json.loads(path.read_text()) if path.exists() else {}
    both = usual | {key: said[key] for key in usual if key in said}
    return Defaults(int(both["steps"]), float(both["guidance_scale"]))


def default_device() -> torch.device:
    """The card where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Model:
    """One installed model, loaded.

    Args:
        name: Its name.
        directory: A StableDiffusionXLPipeline as diffusers saves it.
        device: Where it runs; half precision on a card, single precision elsewhere.
    """

    def __init__(self, name: str, directory: Path, device: torch.device) -> None:
        self.name = name
        self.device = device
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        self._pipeline = StableDiffusionXLPipeline.from_pretrained(
            directory,
            local_files_only=True,
            dtype=self.dtype,
            low_cpu_mem_usage=False,  # the other way needs accelerate, which is not installed
            add_watermarker=False,
        ).to(device)
        self.unet, self.vae = self._pipeline.unet.eval(), self._pipeline.vae.eval()
        if self.vae.config.force_upcast and self.vae.dtype is not torch.float32:
            # In half precision its activations overflow.
            self.vae.to(torch.float32)
        self._cell_px = self._pipeline.vae_scale_factor
        self.base_px = self.unet.config.sample_size * self._cell_px
        self.defaults = read_defaults(directory, self.base_px)
        self.previews = PreviewMap.fit(self.decode_tensor, self._channels, device)

    @property
    def _channels(self) -> int:
        return int(self.unet.config.in_channels)

    def shape(self, aspect: str) -> Shape:
        """The shape of a request with this aspect."""
        return Shape(self.name, size_of(aspect, self.base_px, 2 * self._cell_px))

    @torch.inference_mode()
    def row(self, request: ImageRequest, watcher: Watcher, began: float) -> Row:
        """Makes a row: encodes its prompts and draws its noise."""
        shape = self.shape(request.aspect)
        guidance = request.guidance_scale
        guidance = self.defaults.guidance_scale if guidance is None else guidance
        # Drawn on the CPU, so that a seed gives the same picture on every device.
        generator = torch.Generator().manual_seed(request.seed)
        schedule = Schedule(
            self._pipeline.scheduler,
            request.scheduler,
            request.steps or self.defaults.steps,
            generator,
        )
        cells = (shape.size.height // self._cell_px, shape.size.width // self._cell_px)
        noise = torch.randn((1, self._channels, *cells), generator=generator)
        return Row(
            request,
            watcher,
            shape,
            guidance,
            schedule,
            self._conditions(request, guidance > 1, shape.size),
            (noise * schedule.noise_scale).to(self.device),
            began,
        )

    def _conditions(self, request: ImageRequest, guided: bool, size: Size) -> Conditions:
        # No negative prompt is not the same as an empty one: the pipeline then takes zeros, where
        # the model was trained so (force_zeros_for_empty_prompt).
        tokens, negative, pooled, negative_pooled = self._pipeline.encode_prompt(
            request.prompt,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
            negative_prompt=request.negative_prompt or None,
        )
        if guided:
            tokens, pooled = torch.cat([negative, tokens]), torch.cat([negative_pooled, pooled])
        edges = [size.height, size.width, 0, 0, size.height, size.width]
        sizes = torch.tensor([edges], dtype=self.dtype, device=self.device)
        return Conditions(tokens, pooled, sizes.expand(tokens.shape[0], -1))

    @torch.inference_mode()
    def predict(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Asks the denoiser once for rows of one shape, each at its own time.

        Changes no row, so that a failed call can be made again with fewer.

        Returns:
            For every row (1, channels, height, width) in float32, guided.
        """
        conditions = [row.conditions for row in rows]
        noise = self.unet(
            torch.cat([row.scaled() for row in rows]).to(self.dtype),
            torch.cat([row.times() for row in rows]).to(self.device),
            torch.cat([each.tokens for each in conditions]),
            added_cond_kwargs={
                "text_embeds": torch.cat([each.pooled for each in conditions]),
                "time_ids": torch.cat([each.sizes for each in conditions]),
            },
        ).sample.float()
        lanes = noise.split([each.lanes for each in conditions])
        return [row.guided(part) for row, part in zip(rows, lanes, strict=True)]

    @torch.inference_mode()
    def decode_tensor(self, latents: torch.Tensor) -> torch.Tensor:
        """Decodes (n, channels, h, w) to RGB (n, 3, height, width), about -1 to 1."""
        config: Any = self.vae.config
        if config.latents_mean is not None and config.latents_std is not None:
            mean, std = (
                torch.tensor(part, device=self.device).view(1, -1, 1, 1)
                for part in (config.latents_mean, config.latents_std)
            )
            latents = latents * std / config.scaling_factor + mean
        else:
            latents = latents / config.scaling_factor
        return self.vae.decode(latents.to(self.vae.dtype)).sample.float()

    def decode(self, rows: Sequence[Row]) -> list[NDArray[np.uint8] | None]:
        """Decodes finished rows of one shape to uint8 (height, width, 3); None: not a picture."""
        rgb = self.decode_tensor(torch.cat([row.latents for row in rows]))
        sound = rgb.isfinite().flatten(1).all(1).tolist()
        pixels = (rgb / 2 + 0.5).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
        return [one if ok else None for one, ok in zip(pixels.cpu().numpy(), sound, strict=True)]

    def clear_cache(self) -> None:
        """Gives back what the allocator keeps."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
