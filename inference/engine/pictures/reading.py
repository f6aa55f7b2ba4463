"""Picture files as what requests carry. Pillow and numpy only."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from inference.engine.material import PICTURE_PIXELS_MAX, Pixels
from inference.engine.pictures import files as pictures


def read(data: bytes, grey: bool = False) -> Pixels:
    """Reads a PNG, JPEG or WebP, upright and on white, smaller where it has over 4 megapixels.

    Args:
        data: The file.
        grey: Returns one band, as masks have.

    Raises:
        InvalidRequest: It is no such file, or it is too large.
    """
    made = Image.fromarray(pictures.decode(data).on_white)
    excess = made.width * made.height / PICTURE_PIXELS_MAX
    if excess > 1:
        share = 1 / math.sqrt(excess)
        made = made.resize((max(1, int(made.width * share)), max(1, int(made.height * share))))
    made = made.convert("L" if grey else "RGB")
    return Pixels(made.width, made.height, 1 if grey else 3, np.asarray(made).tobytes())
