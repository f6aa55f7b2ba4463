"""When the service says that it can draw, on an engine that does as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from atelier.inference.v1 import inference_pb2 as pb

from inference.api import readiness, reviving
from inference.api.port import Unreachable
from inference.api.readiness import Readiness
from inference.engine import status
from inference.engine.errors import ModelFailed
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.status import ModelStatus


class Engine:
    """Away, loading or drawing, as told."""

    def __init__(self) -> None:
        self.answers = False
        self.told = {"sdxl": ModelStatus(status.READY), "other": ModelStatus(status.UNLOADED)}
        self.broken: set[str] = set()
        self.trials: list[str] = []
        self.tried_again = asyncio.Event()
        self.revivals = 0

    async def models(self) -> dict[str, ModelStatus] | None:
        return self.told if self.answers else None

    async def revive(self) -> bool:
        self.revivals += 1
        return self.answers

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        if request.model in self.trials:
            self.tried_again.set()
        self.trials.append(request.model)
        if not self.answers:
            raise Unreachable("away")
        if request.model in self.broken:
            raise ModelFailed("broken")
        yield Picture(np.zeros((1, 1, 3), np.uint8), request.model, 0, 1, 1.0, 0.0)


class Watched:
    """A readiness at work, and what it has told the server."""

    def __init__(self, engine: Engine, models: Path) -> None:
        self.engine = engine
        self.readiness = Readiness(engine, models, "sdxl")
        self.told: asyncio.Queue[bool] = asyncio.Queue()

    async def next(self) -> bool:
        async with asyncio.timeout(10):
            return await self.told.get()


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(readiness, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(reviving, "TRY_AGAIN_SECONDS", 0.01)
    for name in ("sdxl", "other"):
        (tmp_path / name).mkdir()
        index = '{"_class_name": "StableDiffusionXLPipeline"}'
        (tmp_path / name / "model_index.json").write_text(index)
    watched = Watched(Engine(), tmp_path)
    run = asyncio.create_task(watched.readiness.run(watched.told.put))
    yield watched
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_a_model_is_starting_until_a_real_request_has_passed(watched: Watched) -> None:
    assert set(watched.readiness.states.values()) == {pb.MODEL_STATE_STARTING}
    watched.engine.answers = True
    assert await watched.next() is True
    assert watched.engine.trials == ["sdxl"]
    assert watched.readiness.states["sdxl"] == pb.MODEL_STATE_READY


async def test_other_models_are_as_the_engine_says_and_are_not_loaded_to_find_out(
    watched: Watched,
) -> None:
    watched.engine.told["other"] = ModelStatus(status.FAILED, failure="broken")
    watched.engine.told["sdxl"] = ModelStatus(status.BUSY, 3, 1_000)
    watched.engine.answers = True
    assert await watched.next() is True
    own, other = sorted(watched.readiness.models, key=lambda model: model.name, reverse=True)
    assert (own.state, own.rows, own.size_bytes) == (pb.MODEL_STATE_BUSY, 3, 1_000)
    assert (other.state, other.failure) == (pb.MODEL_STATE_FAILED, "broken")
    assert "other" not in watched.engine.trials


async def test_an_engine_that_goes_away_is_noticed_and_welcomed_back(watched: Watched) -> None:
    watched.engine.answers = True
    assert await watched.next() is True
    watched.engine.answers = False
    assert await watched.next() is False
    assert set(watched.readiness.states.values()) == {pb.MODEL_STATE_FAILED}
    assert watched.engine.revivals >= 1
    watched.engine.answers = True
    assert await watched.next() is True


async def test_a_failed_request_is_followed_by_a_trial_that_decides(watched: Watched) -> None:
    watched.engine.answers = True
    assert await watched.next() is True
    watched.engine.broken = {"sdxl"}
    watched.readiness.doubt()
    assert await watched.next() is False
    watched.engine.broken = set()
    assert await watched.next() is True


async def test_one_bad_row_does_not_take_the_service_out(watched: Watched) -> None:
    watched.engine.answers = True
    assert await watched.next() is True
    watched.readiness.doubt()
    async with asyncio.timeout(10):
        await watched.engine.tried_again.wait()
    assert watched.told.empty()
