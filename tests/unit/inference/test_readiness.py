"""When the service says that it can draw, on an engine that does as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from atelier.inference.v1 import inference_pb2 as pb
from prometheus_client import REGISTRY

from inference.api import watching
from inference.api.port import Unreachable
from inference.api.readiness import Readiness
from inference.engine import status
from inference.engine.errors import (
    CheckFailed,
    ContentFiltered,
    EngineError,
    InvalidRequest,
    ModelFailed,
)
from inference.engine.request import ImageRequest, Picture, Progress
from inference.engine.status import ModelStatus
from tests.studio import eventually


class Engine:
    """Away, loading or drawing, as told."""

    def __init__(self) -> None:
        self.answers = False
        self.told = {"sdxl": ModelStatus(status.READY), "other": ModelStatus(status.UNLOADED)}
        self.failure: EngineError | None = None
        self.trials: list[str] = []
        self.looks = 0
        self.unheard: set[int] = set()  # looks that get no answer
        self.revivals = 0
        self.steps_each_look = 0
        self.draws = asyncio.Event()
        self.draws.set()

    async def models(self) -> dict[str, ModelStatus] | None:
        self.looks += 1
        told = self.told["sdxl"]
        self.told["sdxl"] = replace(told, steps=told.steps + self.steps_each_look)
        if self.looks in self.unheard:
            return None
        return dict(self.told) if self.answers else None

    async def revive(self) -> bool:
        self.revivals += 1
        return self.answers

    async def sample(self, request: ImageRequest) -> AsyncGenerator[Progress | Picture, None]:
        self.trials.append(request.model)
        if not self.answers:
            raise Unreachable("away")
        await self.draws.wait()
        if self.failure:
            raise self.failure
        yield Picture(np.zeros((1, 1, 3), np.uint8), request.model, 0, 1, 1.0, 0.0)


class Watched:
    """A readiness at work, and what it has told the server."""

    def __init__(self, engine: Engine, models: Path) -> None:
        self.engine = engine
        self.readiness = Readiness(engine, models, "sdxl")
        self.told: asyncio.Queue[bool] = asyncio.Queue()

    async def next(self) -> bool:
        async with asyncio.timeout(60):
            return await self.told.get()

    async def looked(self, times: int = 3) -> None:
        """Waits until the engine was looked at so often more."""
        wanted = self.engine.looks + times

        async def enough() -> bool:
            return self.engine.looks >= wanted

        await eventually(enough)

    async def tried(self) -> None:
        """Waits until a trial has begun that is not the first."""

        async def again() -> bool:
            return len(self.engine.trials) > 1

        await eventually(again)


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watching, "TRY_AGAIN_SECONDS", 0.01)
    for name in ("sdxl", "other"):
        (tmp_path / name).mkdir()
        index = '{"_class_name": "StableDiffusionXLPipeline"}'
        (tmp_path / name / "model_index.json").write_text(index)
    watched = Watched(Engine(), tmp_path)
    run = asyncio.create_task(watched.readiness.run(watched.told.put))
    yield watched
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


@pytest.fixture
async def ready(watched: Watched) -> Watched:
    watched.engine.answers = True
    assert await watched.next() is True
    return watched


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


async def test_an_engine_that_goes_away_is_noticed_and_welcomed_back(ready: Watched) -> None:
    ready.engine.answers = False
    assert await ready.next() is False
    assert set(ready.readiness.states.values()) == {pb.MODEL_STATE_FAILED}
    assert ready.engine.revivals >= 1
    ready.engine.answers = True
    assert await ready.next() is True


async def test_a_ping_that_was_late_is_sent_again_before_an_engine_is_started_anew(
    ready: Watched,
) -> None:
    before = ready.engine.revivals
    ready.engine.unheard = {ready.engine.looks + 2, ready.engine.looks + 5}
    await ready.looked(10)
    ready.engine.draws.clear()
    ready.readiness.heard("sdxl", ModelFailed("broken"))
    await ready.tried()
    ready.engine.unheard = {ready.engine.looks + 2}
    await ready.looked(5)
    ready.engine.draws.set()
    assert (ready.engine.revivals, ready.told.qsize()) == (before, 0)


async def test_a_failed_request_is_followed_by_a_trial_that_decides(ready: Watched) -> None:
    ready.engine.failure = ModelFailed("broken")
    ready.readiness.heard("sdxl", ModelFailed("broken"))
    assert await ready.next() is False
    ready.engine.failure = None
    assert await ready.next() is True


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("", ModelFailed("broken")),
        ("sdxl", ModelFailed("broken")),
        ("other", Unreachable("away")),
    ],
)
async def test_one_bad_row_does_not_take_the_service_out(
    ready: Watched, model: str, error: EngineError
) -> None:
    ready.readiness.heard(model, error)
    await ready.tried()
    await ready.looked()
    assert ready.told.empty()


@pytest.mark.parametrize(
    ("model", "error"),
    [("other", ModelFailed("cannot be loaded")), ("sdxl", InvalidRequest("no words"))],
)
async def test_what_says_nothing_of_the_default_model_has_nothing_tried(
    ready: Watched, model: str, error: EngineError
) -> None:
    ready.readiness.heard(model, error)
    await ready.looked()
    assert ready.engine.trials == ["sdxl"]


@pytest.mark.parametrize("error", [ContentFiltered("refused"), CheckFailed("no verdict")])
async def test_a_safety_check_that_is_down_or_refuses_the_trial_leaves_the_engine_ready(
    watched: Watched, error: EngineError
) -> None:
    watched.engine.failure = error
    watched.engine.answers = True
    assert await watched.next() is True
    assert watched.readiness.states["sdxl"] == pb.MODEL_STATE_READY
    await watched.looked()
    assert watched.told.empty()
    assert watched.engine.trials == ["sdxl"]


async def test_a_trial_in_line_behind_others_is_no_failure_while_the_engine_steps(
    ready: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STILL_SECONDS_MAX", 0.1)
    ready.engine.draws.clear()
    ready.engine.steps_each_look = 1
    ready.readiness.heard("", ModelFailed("broken"))
    await ready.tried()
    await ready.looked(30)  # a hundredth of a second each at least: three times as long
    assert ready.told.empty()
    ready.engine.steps_each_look = 0
    assert await ready.next() is False


async def test_an_engine_that_goes_away_during_a_trial_is_noticed_at_once(watched: Watched) -> None:
    watched.engine.draws.clear()
    watched.engine.answers = True
    await watched.looked()
    before = watched.engine.revivals
    watched.engine.answers = False

    async def revived() -> bool:
        return watched.engine.revivals > before

    await eventually(revived)
    assert watched.readiness.states["sdxl"] == pb.MODEL_STATE_FAILED


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"model": "sdxl", **labels})


async def test_what_pings_say_is_shown_and_goes_on_where_an_engine_begins_anew(
    watched: Watched,
) -> None:
    started = shown("atelier_model_steps_total") or 0.0
    engine = watched.engine
    engine.told["sdxl"] = ModelStatus(status.BUSY, 3, 1_000, waiting=2, steps=7, step_seconds=1.5)
    engine.answers = True
    assert await watched.next() is True
    await watched.looked()
    assert shown("atelier_model_rows") == 3
    assert shown("atelier_model_rows_waiting") == 2
    assert shown("atelier_model_bytes") == 1_000
    assert shown("atelier_model_state", state="busy") == 1
    assert shown("atelier_model_state", state="ready") == 0
    assert shown("atelier_model_steps_total") == started + 7
    engine.told["sdxl"] = ModelStatus(status.READY, steps=4)
    await watched.looked()
    assert shown("atelier_model_steps_total") == started + 11
    engine.answers = False
    assert await watched.next() is False
    await watched.looked()
    assert shown("atelier_model_state", state="failed") == 1
    assert shown("atelier_model_rows") == 0
