"""How a device's memory is shared out. Standard library only.

Weights are bounded, because they stay. What is left is for what comes and goes (latents,
activations, a decoder's planes) and for the driver's own in each of the two processes: 35 % of a
card, which of 24 GB is twice what SDXL's decoder takes for a picture of 1,024 px, counted by the
sizes of its layers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

MODELS, SEGMENTERS = "ATELIER_MODEL_BYTES_MAX", "ATELIER_SEGMENT_BYTES_MAX"
EMBEDDINGS = "ATELIER_SEGMENT_CACHE_BYTES"
MODELS_SHARE, SEGMENTERS_SHARE, EMBEDDINGS_SHARE = 0.5, 0.1, 0.05
# SAM3 takes 54 MB for a picture: so much is a set of nine, or of forty on a card.
_EMBEDDINGS_BYTES_MAX = {"cpu": 512 << 20, "cuda": 2 << 30}


@dataclass(frozen=True)
class Split:
    """Bytes of one device.

    Attributes:
        total: All there are.
        models: Weights of the models that draw, adapters' too.
        segmenters: Weights of the segmenters.
        embeddings: What a segmenter remembers of pictures.
    """

    total: int
    models: int
    segmenters: int
    embeddings: int

    @property
    def left(self) -> int:
        """For rows; below 0 where settings give away more than there is."""
        return self.total - self.models - self.segmenters - self.embeddings


def split(total_bytes: int, kind: str, said: Mapping[str, str] | None = None) -> Split:
    """Shares a device out: half to models, a tenth to segmenters, 5 % to embeddings at most.

    Args:
        total_bytes: Of the card, or of the machine where there is none.
        kind: "cuda" or "cpu".
        said: Settings in bytes, each in place of its share; None: the environment.

    Raises:
        ValueError: A setting is no number.
    """
    settings = os.environ if said is None else said
    usual = {
        MODELS: int(total_bytes * MODELS_SHARE),
        SEGMENTERS: int(total_bytes * SEGMENTERS_SHARE),
        EMBEDDINGS: min(int(total_bytes * EMBEDDINGS_SHARE), _EMBEDDINGS_BYTES_MAX[kind]),
    }
    shares = {name: int(settings.get(name) or share) for name, share in usual.items()}
    # 0 is what the service's own settings say for "by itself"; of the others it means nothing.
    return Split(
        total_bytes, shares[MODELS] or usual[MODELS], shares[SEGMENTERS], shares[EMBEDDINGS]
    )
