"""The engine on a thread of its own, beside an event loop, on the tiny model."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from inference.adapters import hosting
from inference.adapters.in_process import InProcess
from inference.adapters.segment_in_process import SegmenterInProcess
from inference.adapters.serverless import Handler
from inference.engine import opening
from inference.engine.errors import EngineError
from inference.engine.models.model import Model
from inference.engine.opening import Options
from inference.engine.request import Picture
from inference.engine.sampling import profile
from tests.unit.inference.engine_bench import Bench, replaced, request
from tests.unit.inference.registry_checks import piped

MISSPELT = "lokal"


async def _end(engine: InProcess, **asked: Any) -> str:
    """How a row ends."""
    try:
        async for event in engine.sample(request(**asked)):
            if isinstance(event, Picture):
                return "PICTURE"
    except EngineError as error:
        return f"{type(error).__name__}: {error}"
    return "NOTHING"


async def _hanging(options: Options) -> dict[str, Any]:
    """A denoiser that hangs under a row: who hears of it, and that it ends the process."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    go_on, predict = threading.Event(), Model.predict

    def hang(model: Model, rows: Any) -> Any:
        assert go_on.wait(60)
        return predict(model, rows)

    async with InProcess(options) as engine:
        await engine.opened()
        handler = Handler(engine, SegmenterInProcess(options.models), lambda *_: None)
        found: dict[str, Any] = {
            "before": await _end(engine, steps=2),
            "revived_while_alive": [await engine.revive(), told.is_set()],
            "refused": await handler.handle({"input": {"steps": 0.5}}),
        }
        with replaced(Model, "predict", hang), replaced(profile, "STALL_SECONDS", 0.5):
            found["under"] = await _end(engine, steps=2)
            found["models"] = await engine.models()
            found["later"] = await _end(engine, steps=2)
            found["job"] = await handler.handle({"input": {"prompt": "a mug"}})
            found["revived"] = await engine.revive()
            await asyncio.wait_for(told.wait(), 60)
            go_on.set()
    found["ended"] = await _end(engine, steps=2)
    return found


async def _failing(options: Options) -> list[bool]:
    """A model that draws, then fails again and again: after which jobs to replace the worker."""

    def fail(model: Model, rows: Any) -> Any:
        raise RuntimeError("the card has gone")

    async with InProcess(options) as engine:
        handler = Handler(engine, SegmenterInProcess(options.models), lambda *_: None)
        job = {"input": {"prompt": "a mug", "steps": 1}}
        jobs = [await handler.handle(job)]
        with replaced(Model, "predict", fail):
            jobs += [await handler.handle(job) for _ in range(hosting.FAULTS_MAX)]
    return ["refresh_worker" in each for each in jobs]


async def _loading(bench: Bench) -> dict[str, Any]:
    """An engine whose first model's load hangs, in a copy of the model."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    root = bench.directory.with_name("hanging")
    pipe = piped(bench.directory, root / "hung")
    with replaced(hosting, "LOAD_SECONDS_MAX", 1.0):
        async with InProcess(Options(root, "hung")) as engine:
            writing = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
            try:
                await engine.opened()
                opened = ""
            except EngineError as error:
                opened = f"{error.reason}: {error}"
            found = {
                "opened": opened,
                "end": await _end(engine),
                "models": await engine.models(),
                "revived": await engine.revive(),
            }
            await asyncio.wait_for(told.wait(), 60)
            os.close(writing)
            return found


async def _unmade(options: Options) -> dict[str, Any]:
    """An engine that cannot be made."""
    async with InProcess(options) as engine:
        try:
            await engine.opened()
            opened = ""
        except EngineError as error:
            opened = str(error)
        return {"opened": opened, "end": await _end(engine), "models": await engine.models()}


def in_process(bench: Bench) -> dict[str, Any]:
    folder, name = bench.directory.parent, bench.directory.name
    with replaced(hosting, "EXIT_SECONDS", 3_600.0), replaced(hosting, "LOOK_SECONDS", 0.2):
        return {
            "hanging": asyncio.run(_hanging(Options(folder, name))),
            "failing": asyncio.run(_failing(Options(folder, name))),
            "loading": asyncio.run(_loading(bench)),
            "unmade": asyncio.run(_unmade(Options(folder, name, safety=MISSPELT))),
        }


def options(bench: Bench) -> dict[str, Any]:
    """Which checks are refused at the start, and by whom."""

    def refused(make: Callable[[], Any]) -> str:
        try:
            make()
        except ValueError as error:
            return str(error)
        return ""

    said = {"ATELIER_MODELS_DIR": str(bench.directory.parent), "ATELIER_DEFAULT_MODEL": "tiny"}
    external = said | {"ATELIER_SAFETY": "external"}
    return {
        "misspelt": refused(
            lambda: opening.open_engine(Options.of(said | {"ATELIER_SAFETY": MISSPELT}))
        ),
        "alone": refused(lambda: Options.of(external)),
        "served": refused(lambda: opening._check(Options.of(external, served=True))),
        "none": refused(lambda: opening._check(Options.of(said))),
        "empty": refused(lambda: opening._check(Options.of(said | {"ATELIER_SAFETY": ""}))),
        "off": refused(lambda: opening._check(Options.of(said | {"ATELIER_SAFETY": "off"}))),
    }


CHECKS = (in_process, options)
