"""How each object is drawn: every function draws into a `Sketch`, in the colour `rgb`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from inference.training.world.cinema import clapperboard, film_reel, movie_camera, popcorn_bucket
from inference.training.world.cosmetics import cosmetic_jar, lipstick, lotion_bottle, perfume_bottle
from inference.training.world.eats import cake, coffee_cup, donut, latte_glass
from inference.training.world.fashion import cap, handbag, sneaker, t_shirt
from inference.training.world.home import gift_box, lamp, plant, vase
from inference.training.world.sketch import Sketch, Tone
from inference.training.world.toys import balloon, plush_bear, rubber_duck, toy_car

Shape = Callable[[Sketch, Tone, np.random.Generator], None]

SHAPES: Mapping[str, Shape] = {
    "latte_glass": latte_glass,
    "coffee_cup": coffee_cup,
    "cake": cake,
    "donut": donut,
    "lipstick": lipstick,
    "perfume_bottle": perfume_bottle,
    "cosmetic_jar": cosmetic_jar,
    "lotion_bottle": lotion_bottle,
    "t_shirt": t_shirt,
    "handbag": handbag,
    "sneaker": sneaker,
    "cap": cap,
    "film_reel": film_reel,
    "popcorn_bucket": popcorn_bucket,
    "clapperboard": clapperboard,
    "movie_camera": movie_camera,
    "plush_bear": plush_bear,
    "balloon": balloon,
    "toy_car": toy_car,
    "rubber_duck": rubber_duck,
    "gift_box": gift_box,
    "vase": vase,
    "plant": plant,
    "lamp": lamp,
}
