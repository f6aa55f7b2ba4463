"""Pictures side by side. `python -m inference.training.contact_sheet OUT.png`: the renderer."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.training.world.layouts import Layout, Placed, random_layout
from inference.training.world.scenes import render
from inference.training.world.vocabulary import load_world

COLUMNS = 12


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
    """Each object kind six times, colours, materials and places by turns."""
    world, rng = load_world(), np.random.default_rng(seed)
    pictures = []
    for row, thing in enumerate(world.objects):
        for column in range(6):
            turn = row * 5 + column * 2
            finishes = (None, *thing.materials)
            placed = Placed(
                thing.id,
                world.colours[turn % len(world.colours)].id,
                finishes[column % len(finishes)],
            )
            layout = Layout(
                (placed,),
                world.surfaces[(row + column) % len(world.surfaces)].id,
                world.backdrops[(row * 3 + column) % len(world.backdrops)].id,
            )
            pictures.append(render(layout, rng).image)
    return pictures


def several_objects(seed: int = 0) -> list[NDArray[np.uint8]]:
    """A row of scenes with two, three and four objects each."""
    rng = np.random.default_rng(seed)
    counts = [count for count in (2, 3, 4) for _ in range(COLUMNS)]
    return [render(random_layout(rng, count, 0.5), rng).image for count in counts]


if __name__ == "__main__":
    tile(every_object() + several_objects(), COLUMNS).save(sys.argv[1])
