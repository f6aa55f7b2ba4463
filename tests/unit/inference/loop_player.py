"""Plays plans on the step loop: arrivals, cancels, faults; in the environment that has torch.

``python -m tests.unit.inference.loop_player`` reads one plan (JSON) a line and answers with what
became of its rows; the judging is done in ``test_loop.py``.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from inference.engine.errors import EngineError
from inference.engine.material import Control, Lora
from inference.engine.request import Progress
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import Profile
from inference.engine.sampling.registry import Installed, Registry
from tests.unit.inference import material_checks, tiny, tiny_kin
from tests.unit.inference.engine_bench import BYTES_MAX, Heard, Spied, request

STEP_SECONDS = {"tiny": 1.0, "flux": 7.0}  # predicted, of one row's step
LATE_SECONDS = 0.5  # less than any step takes
IDLE_SECONDS = 0.3  # between looks at what waits
ADAPTERS = ("blue", "red")
ADAPTERS_BYTES = 4_000  # one of the two fits
PICTURE, MASK = material_checks.picture(), material_checks.mask()
MODES: dict[str, dict[str, Any]] = {
    "text": {"model": "tiny"},
    "unguided": {"model": "tiny", "guidance_scale": 1.0, "scheduler": "ddim"},
    "wide": {"model": "tiny", "aspect": "16:9"},
    "image": {"model": "tiny", "image": PICTURE, "strength": 0.6},
    "paint": {"model": "tiny", "image": PICTURE, "mask": MASK},
    "control": {"model": "tiny", "controls": (Control("canny", PICTURE),)},
    "lora": {"model": "tiny", "scheduler": "euler_a"},  # in turn the one adapter and the other
    "flux": {"model": "flux", "guidance_scale": 2.0},
}
ALONE = {
    "rows_max": 4,
    "waiting_max": 4,
    "memory": 0,
    "both_fit": True,
    "load_ticks": 0,
    "preloaded": False,
    "rows": [],
}
TICKS_MAX = 1_000  # of a play: far more than one needs whose rows all end


def asked(mode: str, seed: int) -> dict[str, Any]:
    """What a row of a mode asks for."""
    worn = {"loras": (Lora(ADAPTERS[seed % 2]),)} if mode == "lora" else {}
    return MODES[mode] | worn


class Player:
    """Two models, and a loop of its own for every plan."""

    def __init__(self, root: Path) -> None:
        self.root = root
        tiny.build().save_pretrained(root / "tiny")
        material_checks.prepare(root / "tiny")
        tiny_kin.build_flux().save_pretrained(root / "flux")
        self.models = {name: Spied(root / name) for name in STEP_SECONDS}
        self.alone: dict[tuple[str, int, int], torch.Tensor] = {}
        self.room_for_one = max(one.size_bytes for one in self.models.values()) + ADAPTERS_BYTES

    def play(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Plays one plan.

        Args:
            plan: ``rows_max``, ``waiting_max``, ``memory`` (rows that fit into a call, 0: all),
                ``both_fit`` (into the memory of all models), ``load_ticks`` (steps of the loop that
                a load takes beside it), ``preloaded`` (whether the default model is there at the
                start) and ``rows``: ``mode``, ``steps``, ``at`` (steps of the loop before it
                arrives), ``leaves_after`` (steps) and ``fault``.
        """
        return _Play(self, plan).run()

    def lonely(self, mode: str, steps: int, seed: int) -> torch.Tensor:
        """The latents that such a row ends with when nobody else is there."""
        key = (mode, steps, seed)
        if key not in self.alone:
            play = _Play(self, ALONE)
            play.engine.submit(request(seed=seed, steps=steps, **asked(mode, seed)), Heard())
            while play.engine.step():
                pass
            self.alone[key] = self.models[MODES[mode]["model"]].latents[seed]
        return self.alone[key]


class Leaving(Heard):
    """A watcher that raises at the first step, where it is told to."""

    def __init__(self, leaves_after: int, raises: bool) -> None:
        super().__init__(leaves_after)
        self._raises = raises

    def progress(self, progress: Progress) -> None:
        super().progress(progress)
        if self._raises:
            raise RuntimeError("nobody is there")


class _Play:
    def __init__(self, player: Player, plan: dict[str, Any]) -> None:
        self.player, self.plan = player, plan
        self.now, self.tick = 0.0, 0
        self.calls: list[dict[str, Any]] = []
        for name, model in player.models.items():
            model.reset()
            model.before = lambda seeds, name=name: self.before(name, seeds)
            model.before_beginning = lambda seed: self.short({seed}, "begin")
            model.before_decoding = lambda seeds: self.short(set(seeds), "decode")
            model.poisoned = self.faulty("nan")
        root, most = player.root, plan["rows_max"]
        profiles = {name: Profile(most, seconds) for name, seconds in STEP_SECONDS.items()}

        def load(path: Path) -> Installed:
            player.models[path.name].wardrobe.keep_only([])
            return Installed(player.models[path.name], profiles[path.name])

        self.room = BYTES_MAX if plan["both_fit"] else player.room_for_one
        self.registry = Registry(root, "tiny", load, self.room, lambda: self.now, self.beside)
        self.engine = Engine(self.registry, plan["waiting_max"], clock=lambda: self.now)
        self.begun = 0
        self.pending: list[tuple[int, Callable[[], None]]] = []
        if plan["preloaded"]:
            self.registry.preload()

    @property
    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        """By seed, which also tells them apart."""
        return list(enumerate(self.plan["rows"], 1))

    def beside(self, work: Callable[[], None]) -> None:
        """Does a load, of a model or an adapter, after as many ticks as it takes."""
        self.begun += 1
        if self.plan["load_ticks"]:
            self.pending.append((self.tick + self.plan["load_ticks"], work))
        else:
            work()

    def finish_loading(self) -> None:
        for due, work in [each for each in self.pending if each[0] <= self.tick]:
            self.pending.remove((due, work))
            work()

    def may_start(self, row: dict[str, Any]) -> bool:
        """Whether a row that arrives now waits for nobody and no load."""
        if len(self.engine._line):
            return False
        if not self.plan["load_ticks"]:
            return True
        return row["mode"] != "lora" and bool(self.registry.seen(MODES[row["mode"]]["model"]))

    def before(self, model: str, seeds: list[int]) -> None:
        """Called before every call of a denoiser; a faulty one raises."""
        fits = self.plan["memory"] or len(seeds)
        raising = self.faulty("raise") & set(seeds)
        self.calls.append({"tick": self.tick, "model": model, "seeds": seeds})
        if len(seeds) > fits:
            raise torch.OutOfMemoryError("no room")
        if raising:
            raise ValueError(f"rows {raising}")

    def faulty(self, fault: str) -> set[int]:
        return {number for number, row in self.rows if row["fault"] == fault}

    def short(self, seeds: set[int], fault: str) -> None:
        if self.faulty(fault) & seeds:
            raise torch.OutOfMemoryError("no room")

    def run(self) -> dict[str, Any]:
        heard: dict[int, Heard | str] = {}
        ready: dict[int, bool] = {}
        full: dict[int, bool] = {}
        waiting, active, excess = 0, 0, 0
        last = max((row["at"] for _, row in self.rows), default=0)
        going = True
        while (going or self.tick <= last or len(self.engine._line)) and self.tick < TICKS_MAX:
            self.finish_loading()
            for number, row in self.rows:
                if row["at"] == self.tick:
                    ready[number] = self.may_start(row)
                    full[number] = len(self.engine._line) == self.plan["waiting_max"]
                    heard[number] = self.arrive(number, row)
            waiting = max(waiting, len(self.engine._line))
            called = len(self.calls)
            going = self.engine.step()
            active = max(active, *(len(rows) for rows in self.engine._active.values()), 0, 0)
            excess = max(excess, self.bytes_held() - self.room)
            self.now += self.cost(called)
            self.tick += 1
        self.ended = {name: model.latents for name, model in self.player.models.items()}
        return {
            "rows": [
                self.told(number, heard[number], ready[number]) | {"full": full[number]}
                for number, _ in self.rows
            ],
            "ticks": self.tick,
            "waiting": waiting,
            "active": active,
            "excess": excess,
            "left": len(self.engine._line) + len(self.engine._active),
            "calls": self.calls,
            "begun": self.begun,
        }

    def bytes_held(self) -> int:
        """Of models and adapters: those being loaded, and those worn and forgotten, too."""
        coming = sum(place.wanted for place in self.registry._places.values() if place.loading)
        loaded = [place.loaded for place in self.registry._places.values() if place.loaded]
        adapters = {
            one.adapter for rows in self.engine._active.values() for row in rows for one in row.worn
        }
        known = {one for each in loaded for one in each.model.wardrobe._loaded.values()}
        forgotten = sum(one.size_bytes for one in adapters - known)
        coming += sum(each.model.wardrobe.coming_bytes for each in loaded)
        return sum(each.model.size_bytes for each in loaded) + coming + forgotten

    def cost(self, called: int) -> float:
        calls = self.calls[called:]
        return STEP_SECONDS[calls[0]["model"]] * len(calls[0]["seeds"]) if calls else IDLE_SECONDS

    def arrive(self, number: int, row: dict[str, Any]) -> Heard | str:
        heard = Leaving(row["leaves_after"], raises=row["fault"] == "watch")
        seconds = LATE_SECONDS if row["fault"] == "late" else 3_600.0
        said = {"seed": number, "steps": row["steps"], "timeout_seconds": seconds}
        try:
            self.engine.submit(request(**said, **asked(row["mode"], number)), heard)
        except EngineError as error:
            return error.reason
        return heard

    def told(self, number: int, heard: Heard | str, ready: bool) -> dict[str, Any]:
        if isinstance(heard, str):
            return {"outcome": heard}
        return {
            "outcome": heard.outcome,
            "steps": len(heard.steps),
            "ready": ready,
            "difference": self.difference(number) if heard.picture else None,
        }

    def difference(self, number: int) -> float:
        row = self.plan["rows"][number - 1]
        made = self.ended[MODES[row["mode"]]["model"]][number]
        alone = self.player.lonely(row["mode"], row["steps"], number)
        return float(((made - alone).abs().max() / alone.abs().max()).item())


def main() -> None:
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        player = Player(Path(folder))
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps(player.play(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
