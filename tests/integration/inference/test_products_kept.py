"""A product on a photograph, kept to the byte while its surroundings are painted anew."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.local import probes, stack, triton
from inference.training.world.layouts import Layout, Placed
from inference.training.world.scenes import Scene, render
from kit.rpc.client import open_channel
from tests.integration.inference.unit import Unit
from tests.studio import eventually

RECOVERY_SECONDS = 180.0
SIDE_PX = 256


@pytest.fixture(scope="module")
async def shop(unit: Unit) -> AsyncIterator[Unit]:
    """Inference with the bundled segmenter beside a model that draws."""
    places, name = unit.layout, "shop"
    models = places.data / "shop"
    shutil.copytree(triton.MODELS / "sam3", models / "sam3")
    shutil.copytree(places.data / "models" / "sdxl", models / "sdxl")
    environment = stack.service_environment(places, "inference")
    environment |= {"ATELIER_LISTEN": places.socket(name), "ATELIER_TRITON_GRPC": ""}
    part = triton.inference_part(places, environment, models)
    probe = probes.grpc_health(places.socket(name))
    await unit.supervisor.start([replace(part, name=name, probe=probe)])
    async with open_channel(places.socket(name)) as channel:
        signed = replace(unit.channel, channel=channel)
        shop = replace(unit, channel=signed, service=name, engine=name)

        async def ready() -> bool:
            return (await shop.states())["sam3"] == "MODEL_STATE_READY"

        await eventually(ready, RECOVERY_SECONDS)
        yield shop
    await unit.supervisor.stop(name)


def photograph() -> Scene:
    plan = Layout((Placed("handbag", "red"),), "white_table", "gray")
    return render(plan, np.random.default_rng(5), SIDE_PX, SIDE_PX)


def inside(mask: NDArray[np.bool_], by_px: int) -> NDArray[np.bool_]:
    """A mask without its outermost pixels, which belong to both sides."""
    for _ in range(by_px):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] & padded[2:, 1:-1] & padded[:-2, 1:-1]
        mask &= padded[1:-1, 2:] & padded[1:-1, :-2]
    return mask


async def test_the_named_product_stays_and_its_proof_says_so(shop: Unit) -> None:
    scene = photograph()
    key = await shop.keep(scene.image)
    _, image = await shop.draw(image_key=key, kept_concepts=["빨간 가방"], steps=4)
    made = await shop.pixels(image)
    side = image.width
    assert (image.width, image.height) == (side, side)  # as the photograph, since none was named
    shrink = SIDE_PX // side
    product = inside(scene.instances[0].mask.astype(bool), 4)[::shrink, ::shrink]
    before = scene.image.reshape(side, shrink, side, shrink, 3).mean((1, 3))
    difference = np.abs(made.astype(float) - before).max(-1)
    assert difference[product].mean() < 1
    around = ~scene.instances[0].mask.astype(bool)[::shrink, ::shrink]
    assert difference[around].mean() > 10
    assert image.proof.protected_pixels >= product.sum()
    assert (image.proof.changed_pixels, image.proof.result_delta_e) == (0, 0)


async def test_without_anything_to_keep_there_is_no_proof(shop: Unit) -> None:
    _, image = await shop.draw(steps=2)
    assert not image.HasField("proof")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"kept_concepts": ["red bag"]}, "kept_concepts"),
        ({"kept_concepts": ["red bag"] * 9, "image_key": "tmp/x"}, "kept_concepts"),
        (
            {"kept_concepts": ["red bag"], "image_key": "tmp/x", "mask_key": "tmp/y"},
            "kept_concepts",
        ),
    ],
)
async def test_what_cannot_be_kept_is_refused_before_anything_is_read(
    shop: Unit, asked: dict[str, object], field: str
) -> None:
    refusal = await shop.refused(**asked)
    assert refusal.failure.reason == "INVALID_ARGUMENT"
    assert refusal.violations[0].field == field


async def test_a_concept_that_is_not_there_is_named(shop: Unit) -> None:
    key = await shop.keep(photograph().image)
    asked = {"image_key": key, "kept_concepts": ["red bag", "blue sneaker"]}
    refusal = await shop.refused(**asked)
    assert refusal.violations[0].field == "kept_concepts[1]"
    empty = await shop.refused(image_key=key, kept_concepts=["red bag", ""])
    assert empty.violations[0].field == "kept_concepts[1]"


async def test_without_a_segmenter_nothing_can_be_kept(unit: Unit) -> None:
    key = await unit.keep(photograph().image)
    refusal = await unit.refused(image_key=key, kept_concepts=["red bag"])
    assert refusal.failure.reason == "UNKNOWN_MODEL"
    assert refusal.violations[0].field == "kept_concepts"
