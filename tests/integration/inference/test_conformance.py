"""One suite for every place that the engine runs at: Triton, the service's process, serverless.

Same request, same seed, same picture to the byte; and the same reasons.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc
import numpy as np
import pytest

from tests.integration.inference.adapters import Adapter, Asked, Refused, Served, Serverless
from tests.integration.inference.leaving import leaves_in_time
from tests.integration.inference.unit import Unit
from tests.integration.inference.worker import open_worker
from tests.studio import eventually

PHOTO = np.random.default_rng(1).integers(0, 255, (90, 130, 3)).astype(np.uint8)
HALF = np.zeros((64, 64), np.uint8)
HALF[:, 32:] = 255
SQUARE = np.ascontiguousarray(PHOTO[:64, :64])

# As the handler takes them; pictures stand for files.
DRAWN: dict[str, Asked] = {
    "words": {"steps": 4, "negative_prompt": "blue", "guidance_scale": 3.0},
    "scheduler": {"steps": 4, "scheduler": "euler_a"},
    "wide": {"steps": 3, "aspect": "16:9"},
    "fast": {"quality": "fast"},
    "image": {"steps": 6, "image": SQUARE, "strength": 0.5, "aspect": "1:1"},
    "other size": {"steps": 4, "image": PHOTO, "aspect": "4:3"},
    "painted": {"steps": 4, "image": SQUARE, "mask": HALF, "aspect": "1:1"},
    "made for painting": {"model": "painting", "steps": 3, "image": SQUARE, "mask": HALF},
    "control": {"steps": 3, "controls": [{"kind": "canny", "image": PHOTO, "scale": 0.7}]},
    "depth": {"steps": 3, "controls": [{"kind": "depth", "image": PHOTO, "prepared": True}]},
    "adapters": {"steps": 3, "loras": [{"name": "blue"}, {"name": "red", "weight": -0.5}]},
    "flux": {"quality": "best"},
}
REFUSED: dict[str, tuple[Asked, str, str]] = {
    "unknown model": ({"model": "none"}, "UNKNOWN_MODEL", "model"),
    "bad field": ({"aspect": "2:1"}, "INVALID_ARGUMENT", "aspect"),
    "bad scheduler": ({"scheduler": "flow_euler"}, "INVALID_ARGUMENT", "scheduler"),
    "no such adapter": ({"loras": [{"name": "none"}]}, "INVALID_ARGUMENT", "loras.name"),
    "broken adapter": ({"loras": [{"name": "broken"}]}, "MODEL_FAILED", ""),
    "mask alone": ({"mask": HALF}, "INVALID_ARGUMENT", "mask"),
    "nan": ({"model": "poisoned", "steps": 2}, "MODEL_FAILED", ""),
    "late": ({"steps": 100, "timeout_seconds": 0.001}, "TIMEOUT", ""),
}


@pytest.fixture(scope="module")
async def serverless(unit: Unit) -> AsyncIterator[Serverless]:
    async with open_worker(unit.layout) as worker:
        yield Serverless(worker)


@pytest.fixture(scope="module")
async def adapters(unit: Unit, alone: Unit, serverless: Serverless) -> dict[str, Adapter]:
    return {"triton": Served(unit), "in process": Served(alone), "serverless": serverless}


@pytest.mark.parametrize("case", DRAWN)
async def test_the_same_request_gives_the_same_picture_everywhere(
    adapters: dict[str, Adapter], case: str
) -> None:
    asked = {"prompt": "a red mug", "seed": 8} | DRAWN[case]
    drawn = {name: await adapter.draw(asked) for name, adapter in adapters.items()}
    steps, picture = drawn.pop("triton")
    assert steps > 0
    for name, (other_steps, other) in drawn.items():
        assert other_steps == steps, name
        assert np.array_equal(other, picture), name


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_drawn_has_the_same_reason_everywhere(
    adapters: dict[str, Adapter], case: str
) -> None:
    asked, reason, field = REFUSED[case]
    asked = {"prompt": "a red mug"} | asked
    for name, adapter in adapters.items():
        refused = await adapter.refused(asked)
        assert (refused.reason, refused.field) == (reason, field), name


async def _first_refusal(adapter: Adapter, asked: Asked, count: int) -> Refused:
    """Asks for many pictures at once, and for no more of them than until one is refused."""
    calls = [asyncio.create_task(_refusal(adapter.refused(asked))) for _ in range(count)]
    try:
        for done in asyncio.as_completed(calls):
            if refused := await done:
                return refused
        raise AssertionError("nobody was refused")
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def _refusal(refused: Coroutine[Any, Any, Refused]) -> Refused | None:
    try:
        return await refused
    except (pytest.fail.Exception, AssertionError):
        return None  # it was drawn


@pytest.mark.parametrize("name", ["triton", "in process", "serverless"])
async def test_a_full_line_says_when_to_come_back_everywhere(
    adapters: dict[str, Adapter], name: str
) -> None:
    asked = {"prompt": "a red mug", "steps": 60, "timeout_seconds": 100}
    refused = await _first_refusal(adapters[name], asked, count=100)
    assert refused.reason == "OVERLOADED"
    assert refused.retry_after_seconds
    assert refused.retry_after_seconds >= 1

    async def drawn() -> bool:
        """Whether those who have left have left the line too."""
        try:
            return bool(await adapters[name].draw({"prompt": "a red mug", "steps": 2}))
        except (grpc.aio.AioRpcError, AssertionError):
            return False

    await eventually(drawn)


@pytest.mark.parametrize("name", ["triton", "in process", "serverless"])
async def test_whoever_leaves_stops_the_sampler_everywhere(
    adapters: dict[str, Adapter], name: str
) -> None:
    async def leave(own: int) -> None:
        await adapters[name].leave({"prompt": "a red mug", "steps": own})

    await leaves_in_time(leave, adapters[name].log)


async def test_what_a_mask_keeps_comes_back_to_the_byte(adapters: dict[str, Adapter]) -> None:
    asked = {"prompt": "a red mug", "seed": 8} | DRAWN["painted"]
    for name, adapter in adapters.items():
        _, picture = await adapter.draw(asked)
        assert np.array_equal(picture[:, :32], SQUARE[:, :32]), name
        assert not np.array_equal(picture[:, 32:], SQUARE[:, 32:]), name


@pytest.mark.parametrize(
    ("field", "data", "reason"),
    [
        ("image_key", b"no picture", "INVALID_ARGUMENT"),
        ("mask_key", b"\x89PNG\r\n\x1a\n", "INVALID_ARGUMENT"),
        ("image_key", None, "NOT_FOUND"),
    ],
)
async def test_a_key_that_leads_to_no_picture_is_refused(
    unit: Unit, field: str, data: bytes | None, reason: str
) -> None:
    good = await unit.keep(SQUARE)
    key = "tmp/nowhere" if data is None else await unit.store(data)
    refusal = await unit.refused(**{"image_key": good, field: key})
    assert refusal.failure.reason == reason
    assert refusal.violations[0].field == field


async def test_an_aspect_that_nobody_names_is_the_pictures(unit: Unit) -> None:
    key = await unit.keep(np.zeros((90, 160, 3), np.uint8))
    _, image = await unit.draw(image_key=key, steps=2)
    assert image.width > image.height


async def test_models_are_loaded_when_they_are_asked_for_and_say_how_they_are(unit: Unit) -> None:
    async def idle() -> bool:
        return (await unit.states())["sdxl"] == "MODEL_STATE_READY"

    await eventually(idle)
    states = await unit.states()
    assert set(states) == {"sdxl", "painting", "flux", "poisoned", "broken"}
    assert states["broken"] != "MODEL_STATE_READY"
