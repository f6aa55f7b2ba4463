"""One suite for every place that the engine runs at: Triton, the service's process, serverless.

Same request, same seed, same picture to the byte; and the same reasons.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from PIL import Image

from kit.rpc import status
from tests.integration.inference.unit import Unit
from tests.integration.inference.worker import Worker, open_worker
from tests.studio import eventually

pytestmark = pytest.mark.timeout(300)

Asked = dict[str, Any]

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


class Adapter(Protocol):
    """One place that the engine runs at."""

    async def draw(self, asked: Asked) -> tuple[int, np.ndarray]:
        """Draws; returns how many steps were told of, and the pixels."""

    async def refused(self, asked: Asked) -> Refused:
        """Returns how it was refused."""

    async def leave(self, asked: Asked) -> None:
        """Leaves after the first step."""

    @property
    def log(self) -> Path:
        """Where the engine says what it does."""


@dataclass(frozen=True)
class Refused:
    """What a caller is told who gets no picture."""

    reason: str
    field: str
    retry_after_seconds: float | None


@dataclass
class Served:
    """Behind the gRPC service, whichever hosts the engine."""

    unit: Unit

    async def draw(self, asked: Asked) -> tuple[int, np.ndarray]:
        progress, image = await self.unit.draw(**await self._message(asked))
        return len(progress), await self.unit.pixels(image)

    async def refused(self, asked: Asked) -> Refused:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.unit.draw(**await self._message(asked))
        refusal = status.decode(failed.value)
        field = refusal.violations[0].field if refusal.violations else ""
        return Refused(refusal.failure.reason, field, refusal.retry_after_seconds)

    async def leave(self, asked: Asked) -> None:
        call = self.unit.call(**await self._message(asked))
        await anext(aiter(call))
        call.cancel()

    @property
    def log(self) -> Path:
        return self.unit.layout.logs / f"{self.unit.engine}.log"

    async def _message(self, asked: Asked) -> Asked:
        said = dict(asked)
        for name in ("image", "mask"):
            if name in said:
                said[f"{name}_key"] = await self.unit.keep(said.pop(name))
        if "quality" in said:
            said["quality"] = f"QUALITY_{said['quality'].upper()}"
        controls = []
        for each in said.pop("controls", []):
            key = await self.unit.keep(each["image"])
            kind = f"CONTROL_KIND_{each['kind'].upper()}"
            rest = {name: value for name, value in each.items() if name not in {"kind", "image"}}
            controls.append(pb.Control(kind=kind, image_key=key, **rest))
        loras = [pb.Lora(**each) for each in said.pop("loras", [])]
        return said | {"controls": controls, "loras": loras}


@dataclass
class Serverless:
    """The handler, given jobs by its contract."""

    worker: Worker

    async def draw(self, asked: Asked) -> tuple[int, np.ndarray]:
        steps, said = await self.worker.job(asked)
        assert "error" not in said, said
        png = base64.b64decode(said["image"]["png"])
        return steps, np.asarray(Image.open(io.BytesIO(png)))

    async def refused(self, asked: Asked) -> Refused:
        _, said = await self.worker.job(asked)
        assert "error" in said
        assert said["error"].startswith(said["reason"])
        return Refused(said["reason"], said["field"], said["retry_after_seconds"])

    async def leave(self, asked: Asked) -> None:
        async with aclosing(self.worker.begin(asked)) as said:
            await anext(said)

    @property
    def log(self) -> Path:
        return self.worker.log


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
    own = 89
    await adapters[name].leave({"prompt": "a red mug", "steps": own})

    async def stopped() -> list[str]:
        return re.findall(rf"canceled after (\d+) of {own} steps", adapters[name].log.read_text())

    (steps,) = await eventually(stopped)
    assert int(steps) < own // 2


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
