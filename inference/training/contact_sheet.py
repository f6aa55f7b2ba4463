"""Pictures side by side. `python -m inference.training.contact_sheet OUT.png`: the renderer."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.training.scenes import Layout, Placed, render
from inference.training.vocabulary import load_world


def tile(pictures: Sequence[NDArray[np.uint8]], columns: int, gap_px: int = 2) -> Image.Image:
    """A sheet of equally sized pictures, row by row."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    size = (columns * (width + gap_px) - gap_px, rows * (height + gap_px) - gap_px)
    sheet = Image.new("RGB", size, "white")
    for order, picture in enumerate(pictures):
        row, column = divmod(order, columns)
        sheet.paste(Image.fromarray(picture), (column * (width + gap_px), row * (height + gap_px)))
    return sheet


def every_object(seed: int = 0) -> list[NDArray[np.uint8]]:
    """Each object kind six times, colours and places by turns."""
    world, rng = load_world(), np.random.default_rng(seed)
    pictures = []
    for row, thing in enumerate(world.objects):
        for column in range(6):
            turn = row * 5 + column * 2
            layout = Layout(
                (Placed(thing.id, world.colours[turn % len(world.colours)].id),),
                world.surfaces[(row + column) % len(world.surfaces)].id,
                world.backdrops[(row * 3 + column) % len(world.backdrops)].id,
            )
            pictures.append(render(layout, rng).image)
    return pictures


if __name__ == "__main__":
    tile(every_object(), columns=12).save(sys.argv[1])
