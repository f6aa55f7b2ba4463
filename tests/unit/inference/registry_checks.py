"""Models loaded when asked for and unloaded for others, on copies of the tiny model of any size."""

from __future__ import annotations

import copy
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference.engine.loop import LOAD_SECONDS_MAX, Pulse
from inference.engine.material import Lora
from inference.engine.models import defaults
from inference.engine.models.lora import Wardrobe
from inference.engine.request import TIMEOUT_SECONDS_MAX
from inference.engine.sampling.engine import PATIENCE_SECONDS, SWEEP_SECONDS, Engine
from inference.engine.sampling.place import RETRY_SECONDS_MAX
from inference.engine.sampling.profile import Profile, find_knee
from inference.engine.sampling.registry import Installed, Registry, loader
from tests.unit.inference.engine_bench import CPU, Bench, Heard, Spied, request

SIZE, BUDGET = 40, 100


class Sized(Spied):
    """The tiny model under another name, of a size that a test chooses."""

    def __init__(self, model: Spied, name: str) -> None:
        self.__dict__ |= copy.copy(model).__dict__
        self.name = name
        if name != "a":
            self.wardrobe = Wardrobe(Path(name), {}, lambda weights: (weights, None))

    @property
    def size_bytes(self) -> int:
        return SIZE + self.wardrobe.size_bytes


class House:
    """A registry of four models of which two fit, loaded when the check says so."""

    def __init__(self, bench: Bench, budget: int = BUDGET) -> None:
        self.root = bench.directory.with_name("house")
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("a", "b", "c", "d"):
            self.install(name, SIZE)
        self.now, self.budget = 0.0, budget
        self.loads: list[str] = []
        self.pending: list[Callable[[], None]] = []
        self.model = bench.model
        bench.model.reset()
        bench.model.wardrobe.keep_only([])
        self.registry = Registry(
            self.root, "a", self.load, budget, lambda: self.now, self.pending.append, 1
        )
        self.engine = Engine(self.registry, clock=lambda: self.now)

    def install(self, name: str, size: int, about: str = "{}") -> None:
        folder = self.root / name
        folder.mkdir(parents=True)
        (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
        (folder / "unet").mkdir()
        head = json.dumps({"weight": {"dtype": "F32", "shape": [size], "data_offsets": [0, 0]}})
        said = len(head).to_bytes(8, "little") + head.encode()
        for file in ("unet/model.safetensors", "unet/model.fp16.safetensors", "all.safetensors"):
            (folder / file).write_bytes(said)  # of which only the first is loaded
        (folder / "atelier.json").write_text(about)

    def load(self, path: Path) -> Installed:
        self.loads.append(path.name)
        return Installed(Sized(self.model, path.name), Profile(4, 1.0))

    def finish_loading(self) -> None:
        while self.pending:
            self.pending.pop()()

    def submit(self, name: str, steps: int = 3, **asked: Any) -> Heard:
        heard = Heard()
        self.engine.submit(request(model=name, steps=steps, **asked), heard)
        return heard

    def run(self) -> None:
        while self.engine.step() or self.pending:
            self.finish_loading()

    @property
    def states(self) -> dict[str, str]:
        return {name: one.state for name, one in self.engine.statuses().items()}


def on_demand(bench: Bench) -> dict[str, Any]:
    """Rows of a loaded model go on while another is loading; both end."""
    house = House(bench)
    states = [house.states]
    first = house.submit("a", steps=6)
    house.engine.step()
    states.append(house.states)
    house.finish_loading()
    house.engine.step()
    second = house.submit("b")
    for _ in range(3):
        house.engine.step()
    meanwhile = [len(first.steps), len(second.steps)]
    states.append(house.states)
    house.run()
    return {
        "states": states,
        "meanwhile": meanwhile,
        "outcomes": [first.outcome, second.outcome],
        "loads": house.loads,
        "end": house.states,
    }


def preloaded(bench: Bench) -> dict[str, Any]:
    """The default model is loaded before the first row; another is loaded when it is asked for."""
    house = House(bench)
    house.registry.preload()
    rows = [house.submit(name) for name in ("a", "b")]
    for _ in range(10):
        house.engine.step()
        house.finish_loading()
    return {"outcomes": [row.picture is not None for row in rows], "loads": house.loads}


def making_room(bench: Bench) -> dict[str, Any]:
    """Two fit: the one least recently used goes, and comes back when asked for."""
    house = House(bench)
    for name in ("a", "b", "a", "c", "a", "b"):
        house.submit(name)
        house.run()
    return {"loads": house.loads, "states": house.states}


def in_use(bench: Bench) -> dict[str, Any]:
    """Both that fit are at work: the third waits for one to end, and is not overtaken for ever."""
    house = House(bench)
    busy = [house.submit("a", steps=5), house.submit("b", steps=9)]
    house.engine.step()
    house.finish_loading()
    house.engine.step()
    house.finish_loading()
    waiting = house.submit("c")
    crowd = []
    for number in range(30):
        steps = 2 + number % 5  # so that a model's rows never end all at once
        crowd += [house.submit("a", steps=steps), house.submit("b", steps=steps)]
        house.now += 1
        house.engine.step()
        house.finish_loading()
        if waiting.picture:
            break
    house.run()
    return {
        "loads": house.loads,
        "stayed": [one.outcome for one in busy],
        "third": waiting.outcome,
        "crowd": sorted({one.outcome for one in crowd}),
        "waited": house.now,
        "patience": PATIENCE_SECONDS,
    }


def too_big(bench: Bench) -> dict[str, Any]:
    house = House(bench)
    house.install("huge", BUDGET + 1)
    house.submit("a")
    house.run()
    heard = house.submit("huge")
    house.run()
    return {
        "outcome": heard.outcome,
        "message": str(heard.error),
        "states": house.states,
        "loads": house.loads,
    }


def qualities(bench: Bench) -> dict[str, Any]:
    """Which model and how many steps a request gets by its quality."""
    house = House(bench)
    house.install("e", SIZE, '{"qualities": {"best": {}, "fast": {}}}')
    house.install("f", SIZE, '{"qualities": {"fast": {}}}')
    resolve = house.registry.resolve
    chosen = {
        quality: resolve(request(quality=quality)) for quality in ("", "fast", "standard", "best")
    }
    named = resolve(request(quality="fast", model="b"))
    bench.model._qualities = {"fast": {"steps": 2, "guidance_scale": 0.0}}
    heard = bench.run(bench.engine(), {"quality": "fast"}, {"quality": "best"})
    bench.model._qualities = {}
    pictures = [one.picture for one in heard if one.picture]
    return {
        "chosen": chosen,
        "named": named,
        "steps": [[one.steps, one.guidance_scale] for one in pictures],
    }


def knee(bench: Bench) -> dict[str, Any]:
    """Cards of known speed: how many rows they are given."""

    def card(seconds: Callable[[int], float], fits: int = 64, spare: int = 64) -> dict[str, Any]:
        cleared, tried = [], []

        def step(rows: int) -> float:
            tried.append(rows)
            if rows > fits:
                raise MemoryError
            return seconds(rows)

        found = find_knee(step, 32, lambda: cleared.append(1), lambda: tried[-1] <= spare)
        steps = [found.step_seconds(rows) for rows in (1, 3, 40)]
        return {
            "rows_max": found.rows_max,
            "steps": steps,
            "cleared": len(cleared),
            "tried": max(tried),
        }

    return {
        "idle_until_8": card(lambda rows: 1.0 if rows <= 8 else rows / 8),
        "full_at_once": card(float),
        "never_full": card(lambda _: 1.0),
        "little_memory": card(lambda _: 1.0, fits=4),
        "others_at_work": card(lambda _: 1.0, fits=4, spare=1),
        "one_fits": card(lambda _: 1.0, fits=1),
        "hardly_faster": card(lambda rows: rows**0.93),
    }


def _broken(_: Path) -> Installed:
    raise OSError("broken")


def hopeless(bench: Bench) -> dict[str, Any]:
    """Waiting rows of a model that cannot be loaded end; the others' go on."""
    house = House(bench)
    house.registry._load = _broken
    heard = [house.submit("b"), house.submit("b")]
    house.run()
    states = house.states
    for _ in range(8):
        house.now += RETRY_SECONDS_MAX
        house.submit("b")
        house.run()
    house.registry._load = house.load
    house.now += RETRY_SECONDS_MAX
    mended = house.submit("b")
    house.run()
    return {
        "outcomes": [one.outcome for one in heard],
        "states": states,
        "mended": mended.outcome,
    }


def dressing(bench: Bench) -> dict[str, Any]:
    """A row that wears an adapter waits for it to be read; others go on."""
    house = House(bench, 1 << 20)
    plain, dressed = house.submit("a", steps=6), house.submit("a", loras=(Lora("blue"),))
    broken = house.submit("a", loras=(Lora("broken"),))
    house.engine.step()
    house.finish_loading()
    for _ in range(3):
        house.engine.step()
    meanwhile = [len(plain.steps), len(dressed.steps), len(house.pending)]
    house.run()
    return {
        "meanwhile": meanwhile,
        "outcomes": [one.outcome for one in (plain, dressed, broken)],
    }


def room_for_adapters(bench: Bench) -> dict[str, Any]:
    """An adapter takes room as a model does: of those that nobody uses, never of those at work."""
    bench.model.wardrobe.keep_only([])
    size = bench.model.wardrobe.missing_bytes([Lora("blue")])

    idle = House(bench, 2 * SIZE + size - 1)
    for name in ("a", "b"):
        idle.submit(name)
        idle.run()
    displacing = idle.submit("a", loras=(Lora("blue"),))
    idle.run()
    busy = House(bench, 2 * SIZE + size - 1)
    for name in ("a", "b"):
        busy.submit(name)
        busy.run()
    long = busy.submit("b", steps=4)
    busy.engine.step()
    waiting = busy.submit("a", loras=(Lora("blue"),))
    steps_waited = 0
    while not long.picture:
        busy.engine.step()
        busy.finish_loading()
        steps_waited += not waiting.steps
    busy.run()
    bench.model.wardrobe.keep_only([])
    crowded = House(bench, 2 * SIZE + size - 1)
    crowded.submit("a")
    crowded.run()
    crowded.submit("b")
    crowded.engine.step()
    beside_a_load = crowded.submit("a", loras=(Lora("blue"),))
    crowded.engine.step()
    begun = len(crowded.pending)
    crowded.run()
    alone = House(bench, SIZE + size - 1)
    hopeless = alone.submit("a", loras=(Lora("blue"),))
    alone.run()
    return {
        "displacing": [displacing.outcome, idle.states["b"]],
        "waiting": [waiting.outcome, steps_waited, busy.states["b"]],
        "beside_a_load": [begun, beside_a_load.outcome],
        "hopeless": [hopeless.outcome, str(hopeless.error)],
    }


def load_beside_an_adapter(bench: Bench) -> dict[str, Any]:
    """A model for which there is no room beside an adapter that is being read."""
    size = bench.model.wardrobe.bytes_of([Lora("blue")])
    house = House(bench, 2 * SIZE + size - 1)
    house.submit("a")
    house.run()
    dressed = house.submit("a", loras=(Lora("blue"),))
    house.engine.step()
    other = house.submit("b")
    house.engine.step()
    begun = len(house.pending)
    dressed.leaves_after = 0  # the model is in nobody's use while its adapter is still being read
    house.now += SWEEP_SECONDS
    house.engine.step()
    begun_unused = len(house.pending)
    house.run()
    return {"begun": [begun, begun_unused], "outcomes": [dressed.outcome, other.outcome]}


def worn_adapters(bench: Bench) -> dict[str, Any]:
    """Rows with adapters of which one fits: the second waits until none wears the first."""
    sizes = [bench.model.wardrobe.bytes_of([Lora(name)]) for name in ("blue", "red")]
    house = House(bench, SIZE + sum(sizes) - 1)
    wardrobe, most = bench.model.wardrobe, 0
    first = house.submit("a", steps=4, loras=(Lora("blue"),))
    second = house.submit("a", loras=(Lora("red"),))
    both = house.submit("a", loras=(Lora("red"), Lora("blue")))
    steps_waited = 0
    while house.engine.step() or house.pending:
        worn = {
            one.adapter
            for rows in house.engine._active.values()
            for row in rows
            for one in row.worn
        } | set(wardrobe._loaded.values())
        most = max(most, SIZE + sum(one.size_bytes for one in worn) + wardrobe.coming_bytes)
        steps_waited += not first.picture and not second.steps
        house.finish_loading()
    return {
        "over": max(0, most - house.budget),
        "waited": steps_waited >= 4,
        "outcomes": [first.outcome, second.outcome, both.outcome],
        "message": str(both.error),
    }


def hanging(bench: Bench) -> dict[str, Any]:
    """A load and the reading of an adapter that do not end, while another model's rows go on."""
    house = House(bench, 1 << 20)
    long = {"timeout_seconds": TIMEOUT_SECONDS_MAX}
    first, seen = house.submit("a", steps=100, **long), []
    house.engine.step()
    house.finish_loading()
    waiting = house.submit("b", **long)

    def after(seconds: float) -> None:
        house.now += seconds
        house.engine.step()
        seen.append(house.engine.stalled)

    for seconds in (0, LOAD_SECONDS_MAX, 1):
        after(seconds)
    house.finish_loading()
    after(0)
    dressed = house.submit("a", loras=(Lora("blue"),), **long)
    for seconds in (0, LOAD_SECONDS_MAX + 1):
        after(seconds)
    going_on = len(first.steps)
    house.finish_loading()
    after(0)
    house.run()
    return {
        "seen": seen,
        "going_on": going_on,
        "ends": [one.outcome for one in (first, waiting, dressed)],
    }


def piped(model: Path, copy_at: Path) -> Path:
    """Copies a model but for one file, which is a pipe: its load hangs until somebody writes."""
    shutil.rmtree(copy_at, ignore_errors=True)
    shutil.copytree(model, copy_at)
    pipe = copy_at / defaults.FILE
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    return pipe


def hung_in_its_files(bench: Bench) -> dict[str, Any]:
    """A load that hangs on a thread of its own, and ends when its file does."""
    root = bench.directory.with_name("pipes")
    pipe = piped(bench.directory, root / "hung")
    now, changed, loading = [0.0], threading.Event(), Pulse(lambda: now[0])
    load = loader(CPU, loading)
    registry = Registry(root, "hung", load, 1 << 40, lambda: now[0], loading=loading)
    engine, heard = Engine(registry, clock=lambda: now[0]), Heard()
    registry.changed = changed.set
    engine.submit(request(model="hung"), heard)
    engine.step()
    writing = os.open(pipe, os.O_WRONLY)  # returns when the load has come to read it
    seen = [engine.stalled]
    now[0] += LOAD_SECONDS_MAX + 1
    seen.append(engine.stalled)
    os.close(writing)  # the file is empty, which is none
    assert changed.wait(60)
    now[0] += 1
    engine.step()
    return {"seen": seen, "outcome": heard.outcome, "message": str(heard.error)}


CHECKS = (
    preloaded,
    on_demand,
    making_room,
    in_use,
    too_big,
    qualities,
    knee,
    hopeless,
    dressing,
    room_for_adapters,
    load_beside_an_adapter,
    worn_adapters,
    hanging,
    hung_in_its_files,
)
