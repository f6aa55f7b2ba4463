"""A model that rows are sampled with: one architecture, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inference.engine.models import defaults, installed, tensors
from inference.engine.models.architecture import Architecture
from inference.engine.models.defaults import Defaults
from inference.engine.models.flux import Flux
from inference.engine.models.lora import Wardrobe
from inference.engine.models.preview import PreviewMap
from inference.engine.models.row import Row, Shape
from inference.engine.models.schedulers import Schedule
from inference.engine.models.sdxl import Sdxl
from inference.engine.models.source import PaintMask, Source, fitted_mask, seen_while_painting
from inference.engine.pictures import fitting
from inference.engine.request import ImageRequest, Watcher
from inference.engine.shapes import Size, size_of

_FAMILIES: dict[str, type[Sdxl | Flux]] = {
    installed.SDXL: Sdxl,
    installed.SDXL_PAINTING: Sdxl,
    installed.FLUX: Flux,
}


class Model:
    """One installed model, loaded.

    Args:
        name: Its name.
        directory: A pipeline as diffusers saves it.
        device: Where it runs; half precision on a card, single precision elsewhere.

    Attributes:
        wardrobe: Its adapters.
    """

    def __init__(self, name: str, directory: Path, device: torch.device) -> None:
        self.name = name
        self.device = device
        architecture: Architecture = _FAMILIES[installed.kind(directory)](directory, device)
        self._architecture, self._codec = architecture, architecture.codec
        self.wardrobe = Wardrobe(directory, architecture.trunks, architecture.read_adapter)
        said = defaults.read(directory)
        self._qualities = defaults.qualities(directory)
        self.defaults = architecture.usual.said(said)
        self.base_px = int(said.get("base_px", architecture.base_px))
        self.previews = PreviewMap.fit(self._codec.decode, self._codec.channels, device)

        parts = (part for module in architecture.modules for part in module.parameters())
        self._weights_bytes = sum(part.numel() * part.element_size() for part in parts)

    @property
    def size_bytes(self) -> int:
        """Memory of all weights, adapters' too; from any thread."""
        return self._weights_bytes + self.wardrobe.size_bytes

    def shape(self, aspect: str) -> Shape:
        """The shape of a request with this aspect."""
        return Shape(self.name, size_of(aspect, self.base_px, self._architecture.multiple_px))

    def _open(self, request: ImageRequest) -> Defaults:
        """What a request leaves open, by the quality that it names."""
        return self.defaults.said(self._qualities.get(request.quality, {}))

    @torch.inference_mode()
    def row(self, request: ImageRequest, watcher: Watcher, began: float) -> Row:
        """Makes a row: encodes its words and pictures and draws its noise.

        Raises:
            InvalidRequest: The model cannot do what is asked.
            KeyError: An adapter is not loaded; :attr:`wardrobe` has it loaded.
        """
        shape, usual = self.shape(request.resolved_aspect), self._open(request)
        guidance = request.guidance_scale
        if guidance is None:
            guidance = usual.guidance_scale
        # Drawn on the CPU, so that a seed gives the same picture on every device.
        generator = torch.Generator().manual_seed(request.seed)
        schedule = self._schedule(request, usual, shape.size, generator)
        worn = self.wardrobe.wear(request.loras)
        with self.wardrobe.on([(1, worn)]):
            conditions = self._architecture.conditions(request, guidance, shape.size)
        latents, source, seen = self._beginning(request, shape.size, schedule, generator)
        hints = self._architecture.hints(request, shape.size)
        return Row(
            # Up to 42 MB of pictures, which are latents, fitted pixels and hints by now.
            replace(request, image=None, mask=None, controls=()),
            watcher,
            shape,
            guidance_scale=guidance,
            schedule=schedule,
            conditions=conditions,
            latents=latents,
            began=began,
            source=source,
            seen=seen,
            hints=hints,
            worn=worn,
        )

    def _schedule(
        self, request: ImageRequest, usual: Defaults, size: Size, generator: torch.Generator
    ) -> Schedule:
        return Schedule(
            self._architecture.scheduler,
            request.scheduler,
            request.steps or usual.steps,
            generator,
            request.renewal,
            self._architecture.tokens(size),
        )

    def _beginning(
        self, request: ImageRequest, size: Size, schedule: Schedule, generator: torch.Generator
    ) -> tuple[torch.Tensor, Source | None, torch.Tensor | None]:
        """Latents to begin with, the picture that they are made of, and what the denoiser sees.

        Numbers are drawn in the order in which diffusers' pipelines draw them.
        """
        cells = (size.height // self._codec.cell_px, size.width // self._codec.cell_px)
        mask = fitted_mask(request, size, cells, self.device)
        painting, all_anew = self._architecture.paints_over, request.renewal >= 1
        picture = clean = None
        if request.image is not None:
            picture = fitting.covering(request.image, size)
            if not (painting and mask is not None and all_anew):
                clean = self._codec.encode(tensors.centred(picture, self.device), generator)
        # Said, because a model that is being loaded changes the default of all threads.
        single = {"dtype": torch.float32}
        drawn = torch.randn((1, self._codec.channels, *cells), generator=generator, **single)
        noise = drawn.to(self.device)
        latents = noise * schedule.noise_scale
        if clean is not None and not (mask is not None and all_anew):
            latents = schedule.noised(clean, noise, 0)
        seen = None
        if painting:
            seen = seen_while_painting(
                picture,
                mask,
                size,
                cells,
                lambda rgb: self._codec.encode(rgb, generator),
                self.device,
            )
        return latents, _source(picture, clean, noise, mask, painting), seen

    @torch.inference_mode()
    def predict(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Asks the denoiser once for rows of one shape, each at its own time.

        Changes no row, so that a failed call can be made again with fewer.

        Returns:
            For every row (1, channels, height, width) in float32, guided.
        """
        lanes = [row.conditions.lanes for row in rows]
        worn = [row.worn for row in rows]
        with self.wardrobe.on(list(zip(lanes, worn, strict=True))):
            made = self._architecture.denoise(rows).float()
        parts = made.split(lanes)
        return [row.guided(part) for row, part in zip(rows, parts, strict=True)]

    def decode(self, rows: Sequence[Row]) -> list[NDArray[np.uint8] | None]:
        """Decodes finished rows of one shape to uint8 (height, width, 3); None: not a picture."""
        rgb = self._codec.decode(torch.cat([row.latents for row in rows]))
        sound = rgb.isfinite().flatten(1).all(1).tolist()
        pixels = (rgb / 2 + 0.5).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
        drawn = pixels.cpu().numpy()
        laid = [
            row.source.finish(one) if row.source else one
            for row, one in zip(rows, drawn, strict=True)
        ]
        return [one if ok else None for one, ok in zip(laid, sound, strict=True)]

    def clear_cache(self) -> None:
        """Gives back what the allocator keeps."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _source(
    picture: NDArray[np.uint8] | None,
    clean: torch.Tensor | None,
    noise: torch.Tensor,
    mask: PaintMask | None,
    painting: bool,
) -> Source | None:
    if picture is None:
        return None
    # Where the denoiser paints over by itself nothing is blended, and no latents are needed.
    kept = noise if clean is None else clean
    return Source(picture, kept, noise, mask, blended=not painting)
