"""When segmenters can be used, on an engine that does as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from atelier.inference.v1 import inference_pb2 as pb
from prometheus_client import REGISTRY

from inference.api import watching
from inference.api.port import Unreachable
from inference.api.segment_readiness import SegmentReadiness
from inference.engine.errors import ModelFailed, Overloaded
from inference.engine.segmentation.request import Segmentation, SegmentRequest
from inference.engine.status import BUSY, ModelStatus
from tests.studio import eventually

INDEX = '{"model_type": "sam3"}'


class Engine:
    """Away, hanging or answering, as told."""

    def __init__(self) -> None:
        self.answers = True
        self.broken: set[str] = set()
        self.trials: list[str] = []
        self.revivals = 0
        self.looks = 0
        self.told: dict[str, ModelStatus] = {}
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def models(self) -> dict[str, ModelStatus] | None:
        self.looks += 1
        return self.told if self.answers else None

    async def revive(self) -> bool:
        self.revivals += 1
        return self.answers

    async def segment(self, request: SegmentRequest) -> Segmentation:
        self.trials.append(request.model)
        if not self.answers:
            raise Unreachable("away")
        await self.goes_on.wait()
        if request.model in self.broken:
            raise ModelFailed("broken")
        raise Overloaded("so ready that others are first")


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(INDEX)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def readiness(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SegmentReadiness]:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watching, "TRY_AGAIN_SECONDS", 0.01)
    watched = SegmentReadiness(engine, tmp_path)
    run = asyncio.create_task(watched.run())
    yield watched
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async def met() -> bool:
        return condition()

    await eventually(met)


async def test_each_has_a_state_of_its_own_and_one_that_passes_is_enough(
    readiness: SegmentReadiness, engine: Engine, tmp_path: Path
) -> None:
    engine.broken = {"bad"}
    install(tmp_path, "bad", "good")
    await until(lambda: readiness.states.get("good") == pb.MODEL_STATE_READY)
    assert readiness.states["bad"] == pb.MODEL_STATE_FAILED
    assert engine.revivals == 0


async def test_without_any_installed_nothing_is_tried_or_started_anew(
    readiness: SegmentReadiness, engine: Engine, tmp_path: Path
) -> None:
    assert readiness.states == {}
    install(tmp_path, "one")
    await until(lambda: readiness.states == {"one": pb.MODEL_STATE_READY})
    assert engine.trials == ["one"]
    assert engine.revivals == 0


@pytest.mark.parametrize("was_ready", [False, True])
async def test_one_that_goes_away_during_a_trial_is_noticed_at_once(
    readiness: SegmentReadiness, engine: Engine, tmp_path: Path, was_ready: bool
) -> None:
    if not was_ready:
        engine.goes_on.clear()
    install(tmp_path, "one")
    await until(lambda: len(engine.trials) == 1)
    if was_ready:
        await until(lambda: readiness.states["one"] == pb.MODEL_STATE_READY)
        engine.goes_on.clear()
        readiness.doubt()
        await until(lambda: len(engine.trials) == 2)
    engine.answers = False
    await until(lambda: engine.revivals > 0)
    assert readiness.states["one"] == pb.MODEL_STATE_FAILED
    engine.goes_on.set()
    engine.answers = True
    await until(lambda: readiness.states["one"] == pb.MODEL_STATE_READY)


async def test_a_trial_in_line_is_no_failure_of_one_that_answers(
    readiness: SegmentReadiness,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "STILL_SECONDS_MAX", 0.1)
    install(tmp_path, "one")
    await until(lambda: readiness.states.get("one") == pb.MODEL_STATE_READY)
    engine.goes_on.clear()
    readiness.doubt()
    await until(lambda: len(engine.trials) == 2)
    looks = engine.looks + 30
    await until(lambda: engine.looks > looks)
    assert readiness.states["one"] == pb.MODEL_STATE_READY
    assert engine.revivals == 0


async def test_what_the_engine_says_of_a_segmenter_is_counted_and_told(
    readiness: SegmentReadiness, engine: Engine, tmp_path: Path
) -> None:
    engine.told = {
        "counted": ModelStatus(BUSY, 2, 800, waiting=5, steps=7, step_seconds=0.5, loads=1)
    }
    install(tmp_path, "counted")

    def shown(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"atelier_model_{name}", {"model": "counted"})

    await until(lambda: shown("steps_total") == 7)
    engine.told = {"counted": replace(engine.told["counted"], steps=9, halvings=3)}
    await until(lambda: shown("steps_total") == 9)
    names = ("rows", "rows_waiting", "bytes", "step_seconds_total", "halvings_total", "loads_total")
    assert [shown(name) for name in names] == [2, 5, 800, 0.5, 3, 1]
    assert [(one.name, one.rows, one.size_bytes) for one in readiness.models] == [
        ("counted", 2, 800)
    ]
