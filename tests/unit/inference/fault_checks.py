"""Faults of single rows, of memory and of the loop's own thread, on the tiny model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from inference.engine import caps
from inference.engine.errors import EngineError
from inference.engine.material import Control, Lora
from inference.engine.models import adapter
from inference.engine.request import SCHEDULERS, Picture, Progress
from inference.engine.safety.port import Verdict
from inference.engine.sampling import stepping
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import Profile
from tests.unit.inference import material_checks, tiny_kin
from tests.unit.inference.engine_bench import Asked, Bench, Heard, replaced, request

ROWS: list[Asked] = [{"seed": seed, "steps": 4} for seed in (1, 2, 3)]


def on_another_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def no_memory(*_: Any) -> Any:
    raise torch.OutOfMemoryError("no room")


def stalling(bench: Bench) -> dict[str, Any]:
    """Seen from another thread while a step, a decoding and a row's beginning go on."""
    engine, seen = bench.engine(), {}

    def hang(what: str) -> None:
        for seconds in (100, 100):
            bench.now += seconds
            on_another_thread(lambda: seen.setdefault(what, []).append(engine.stalled))

    bench.model.before = lambda _: hang("step")
    bench.model.before_decoding = lambda _: hang("decoding")
    bench.run(engine, {"seed": 1, "steps": 1, "timeout_seconds": 3_600})
    bench.now += 1_000
    idle = engine.stalled
    slow = Engine(bench.registry(Profile(4, 0.5, longest_seconds=15.0)), clock=lambda: bench.now)
    bench.model.reset()
    of_slow: list[bool] = []

    def last(_: list[int]) -> None:
        if len(bench.model.batches) == 1:
            return
        bench.now += 149
        of_slow.append(slow.stalled)
        bench.now += 2
        of_slow.append(slow.stalled)

    bench.model.before = last
    bench.run(slow, {"seed": 1, "steps": 2, "timeout_seconds": 3_600})
    bench.model.reset()
    return {"seen": seen, "idle": idle, "of_slow": of_slow}


def closing(bench: Bench) -> dict[str, Any]:
    """What is left when the engine ends, and what comes after."""
    engine, heard = bench.engine(), Heard()
    engine.submit(request(), heard)
    engine.close()
    engine.run()
    ended, late = bench.engine(), Heard()

    class Ends(BaseException):
        pass

    def end(_: list[int]) -> None:
        raise Ends

    bench.model.before = end
    ended.submit(request(), late)
    with suppress(Ends):
        ended.run()
    bench.model.reset()
    return {
        "left": heard.outcome,
        "after": _refused(engine),
        "of_a_dead_thread": late.outcome,
        "after_its_death": _refused(ended),
    }


def _refused(engine: Engine) -> list[str]:
    try:
        engine.submit(request(), Heard())
    except EngineError as error:
        return [error.reason, str(error)]
    return []


def decoding(bench: Bench) -> dict[str, Any]:
    """A burst that is done at once, where memory suffices to decode one picture."""
    engine = bench.engine()

    def one(seeds: list[int]) -> None:
        if len(seeds) > 1:
            raise torch.OutOfMemoryError("no room")

    bench.model.before_decoding = one
    burst = bench.run(engine, *({"seed": seed, "steps": 2} for seed in range(8)))
    engine = bench.engine()
    bench.model.before_decoding = lambda seeds: no_memory() if 2 in seeds else None
    short = bench.run(engine, *ROWS)
    tries = bench.model.decoded.count([2])
    again = bench.engine()
    bench.model.before_decoding = lambda seeds: (
        no_memory() if bench.model.decoded.count(seeds) == 1 else None
    )
    recovered = bench.run(again, ROWS[0])
    bench.model.reset()
    return {
        "burst": [one.outcome for one in burst],
        "short": [one.outcome for one in short],
        "tries": tries,
        "message": str(short[1].error),
        "recovered": recovered[0].outcome,
    }


def beginning(bench: Bench) -> dict[str, Any]:
    """Memory is short, or something raises, while a row begins beside others."""
    conditions = bench.model._architecture.conditions
    outcomes = {}
    for name, raised in (("memory", torch.OutOfMemoryError("no")), ("other", KeyError("no"))):

        def fails(asked: Any, *rest: Any, raised: Exception = raised) -> Any:
            if asked.seed == 2:
                raise raised
            return conditions(asked, *rest)

        with replaced(bench.model._architecture, "conditions", fails):
            outcomes[name] = [one.outcome for one in bench.run(bench.engine(), *ROWS)]
    return outcomes


class Raising(Heard):
    """A watcher that raises where it is told to, and still remembers its end."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def _fail(self, where: str) -> None:
        if self._where == where:
            raise RuntimeError(where)

    def cancelled(self) -> bool:
        self._fail("cancelled")
        return super().cancelled()

    def progress(self, progress: Progress) -> None:
        super().progress(progress)
        self._fail("progress")

    def finished(self, picture: Picture) -> None:
        self._fail("finished")
        super().finished(picture)


def watching(bench: Bench) -> dict[str, Any]:
    """A watcher that raises beside others that do not."""
    found = {}
    for where in ("cancelled", "progress", "finished"):
        heard = [Heard(), Raising(where), Heard()]
        bench.run(bench.engine(), *ROWS, heard=heard)
        found[where] = [one.outcome for one in heard]
        found[f"{where} steps"] = len(heard[1].steps)
    return found


class Allows:
    """A check that refuses nothing."""

    def judge(self, pixels: Any, prompt: str) -> Verdict:
        return Verdict(check="allows")


def drawing_aside(bench: Bench) -> dict[str, Any]:
    """Previews that cannot be drawn, and a look for NaN that finds no memory."""
    asked = [row | {"previews": True} for row in ROWS]
    with replaced(type(bench.model.previews), "jpeg", no_memory):
        unseen = bench.run(bench.engine(), *asked)
    sound, tries = stepping._sound, []

    def short(rows: Any) -> list[bool]:
        tries.append(len(rows))
        return no_memory() if len(rows) > 2 else sound(rows)

    with replaced(stepping, "_sound", short):
        halved = bench.run(bench.engine(), *ROWS)
    with replaced(stepping, "_sound", no_memory):
        hopeless = bench.run(bench.engine(), *ROWS)
    watched = Engine(bench.registry(Profile(4, 0.5)), check=Allows())
    checked = bench.run(watched, *asked)
    return {
        "checked_previews": sum(len(one.preview) for each in checked for one in each.steps),
        "checked": [one.outcome for one in checked],
        "without_previews": [one.outcome for one in unseen],
        "previews": sum(len(one.preview) for each in unseen for one in each.steps),
        "halved": [one.outcome for one in halved],
        "tries": tries[:3],
        "hopeless": [one.outcome for one in hopeless],
    }


def growing_back(bench: Bench) -> dict[str, Any]:
    """Memory that was short for a while."""
    room = 2
    engine = bench.engine(rows_max=4)

    def fits(seeds: list[int]) -> None:
        if len(seeds) > room:
            raise torch.OutOfMemoryError("no room")

    bench.model.before = fits
    asked = [{"seed": seed, "steps": 50, "timeout_seconds": 3_600} for seed in range(4)]
    with replaced(caps, "GOOD_CALLS", 20):
        short = bench.run(engine, *asked)
        tries = sum(len(batch) > room for batch in bench.model.batches)
        calls = len(bench.model.batches)
        room = 4
        later = len(bench.model.batches)
        bench.run(engine, *asked)
    batches = [len(batch) for batch in bench.model.batches[later:]]
    bench.model.reset()
    return {
        "outcomes": [one.outcome for one in short],
        "tries": [tries, calls],
        "first": batches[0],
        "largest": max(batches),
    }


def sizes(bench: Bench) -> dict[str, Any]:
    """Pings in the middle of a change: of the adapters, and of the models that are known."""
    wardrobe, engine = bench.model.wardrobe, bench.engine()
    wardrobe.keep_only([])
    before = bench.model.size_bytes
    bench.run(engine, {"seed": 1, "steps": 1, "loras": (Lora("blue"), Lora("red"))})
    worn = [one.size_bytes for one in wardrobe._loaded.values()]
    with replaced(adapter.Adapter, "size_bytes", property(lambda _: wardrobe._loaded.clear())):
        grown = bench.model.size_bytes - before
    wardrobe.keep_only([])
    registry, seen = engine._registry, []

    def ping(_: Any) -> int:
        seen.append(registry._place(f"new {len(seen)}"))
        return 1

    with replaced(type(bench.model), "size_bytes", property(ping)):
        room = registry._make_room(0, ["tiny"])
    return {"grown": grown, "worn": worn, "left": bench.model.size_bytes - before, "room": room}


def default_dtype(bench: Bench) -> dict[str, Any]:
    """Rows of every kind while another thread has changed torch's default, as a loader does."""
    painting, told, flux = (bench.directory.with_name(name) for name in ("dp", "dt", "df"))
    tiny_kin.build_painting().save_pretrained(painting)
    tiny_kin.build_told_guidance().save_pretrained(told)
    tiny_kin.build_flux().save_pretrained(flux)
    picture, mask = material_checks.picture(), material_checks.mask()
    plain: list[tuple[Bench, Asked]] = [
        (bench, {"steps": 4, "previews": True}),
        (bench, {"steps": 4, "image": picture, "strength": 0.6}),
        (bench, {"steps": 4, "image": picture, "mask": mask}),
        (bench, {"steps": 4, "controls": (Control("canny", picture, scale=0.3),)}),
        (bench, {"steps": 4, "controls": (Control("depth", picture),)}),
        (bench, {"steps": 4, "loras": (Lora("blue", 0.3),)}),
        *((bench, {"steps": 6, "scheduler": name}) for name in SCHEDULERS if "flow" not in name),
        (Bench(painting), {"steps": 4, "image": picture, "mask": mask}),
        (Bench(painting), {"steps": 4}),
        (Bench(told), {"steps": 4}),
        (Bench(flux), {"steps": 4, "guidance_scale": 2.0}),
    ]

    def draw() -> list[tuple[str, list[bytes]]]:
        ends = []
        for one, asked in plain:
            heard = one.run(one.engine(), asked | {"seed": 1})[0]
            ends.append((heard.sha256 if heard.picture else str(heard.error), heard.steps))
        return ends

    wanted = draw()
    on_another_thread(lambda: torch.set_default_dtype(torch.float16))
    try:
        made = draw()
    finally:
        torch.set_default_dtype(torch.float32)
    odd = [
        {name: str(value)[:20] for name, value in asked.items()} | {"end": end[0]}
        for (_, asked), end, should in zip(plain, made, wanted, strict=True)
        if end != should
    ]
    return {"odd": odd, "kinds": len(plain)}


CHECKS = (
    stalling,
    closing,
    decoding,
    beginning,
    watching,
    drawing_aside,
    growing_back,
    sizes,
    default_dtype,
)
