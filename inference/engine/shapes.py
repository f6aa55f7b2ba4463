"""Aspect ratios as pixel sizes that a model was made for. Standard library only."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

SQUARE = "1:1"
ASPECTS = {SQUARE: 1.0, "4:3": 4 / 3, "3:4": 3 / 4, "16:9": 16 / 9, "9:16": 9 / 16}


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


@cache
def size_of(aspect: str, base_px: int, multiple_px: int) -> Size:
    """Returns the size nearest to an aspect ratio and to the area of the model's square.

    Never more pixels than the square has, so that the rows that fit into memory are the same for
    every shape. A square of 128 with multiples of 16 gives 144x112 and 160x96.

    Args:
        aspect: One of :data:`ASPECTS`.
        base_px: Side of the square that the model was trained on.
        multiple_px: Both sides are multiples of it.
    """
    ratio, area = ASPECTS[aspect], base_px * base_px
    sides = range(multiple_px, 2 * base_px + 1, multiple_px)
    fitting = [Size(w, h) for w in sides for h in sides if w * h <= area]

    def distance(size: Size) -> float:
        bent = abs(math.log(size.width / size.height / ratio))
        return bent + math.log(area / (size.width * size.height))

    return min(fitting, key=distance)


def nearest_aspect(width: int, height: int) -> str:
    """Returns the aspect ratio nearest to a picture's."""
    return min(ASPECTS, key=lambda aspect: abs(math.log(width / height / ASPECTS[aspect])))
