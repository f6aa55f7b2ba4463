"""Where a training run keeps its files, how it saves its state and how it reports progress."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

REPORT_EVERY_SECONDS = 20.0
CHECKPOINT_EVERY_SECONDS = 180.0


@dataclass(frozen=True)
class Run:
    """A training run: its folder (one sub-folder per stage), device, seed and processes."""

    root: Path
    device: torch.device
    seed: int = 20261121
    processes: int = 1  # of the stages that can share a batch

    def stage(self, name: str) -> Path:
        """The folder of stage `name`, made if needed."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def is_done(self, name: str) -> bool:
        """True if the stage has been run to its end."""
        return (self.stage(name) / "done").exists()

    def mark_done(self, name: str, summary: str) -> None:
        """Records that the stage has ended, with its result in words."""
        (self.stage(name) / "done").write_text(summary + "\n", encoding="utf-8")
        print(f"{name}: {summary}", flush=True)


class Checkpoint:
    """The saved state of one stage. A half-written file never replaces a whole one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "checkpoint.pt"
        self._saved_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The last state saved, or None on a fresh start."""
        if not self._path.exists():
            return None
        state: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        return state

    def is_due(self) -> bool:
        """True when the last save lies further back than `CHECKPOINT_EVERY_SECONDS`."""
        return time.monotonic() - self._saved_at > CHECKPOINT_EVERY_SECONDS

    def save(self, state: dict[str, Any]) -> None:
        """Writes `state` and swaps it in."""
        half = self._path.with_suffix(".tmp")
        torch.save(state, half)
        half.replace(self._path)
        self._saved_at = time.monotonic()


class Progress:
    """Prints a line now and then: samples, smoothed losses, rate, time left."""

    def __init__(self, stage: str, total: int, start: int = 0) -> None:
        self._stage, self._total, self._start = stage, total, start
        self._begun = self._told = time.monotonic()
        self._losses: dict[str, float] = {}

    def update(self, seen: int, **losses: float) -> None:
        """Takes the losses of one step; `seen` counts samples since the stage began."""
        for name, loss in losses.items():
            self._losses[name] = 0.97 * self._losses.get(name, loss) + 0.03 * loss
        now = time.monotonic()
        if now - self._told >= REPORT_EVERY_SECONDS or seen >= self._total:
            self._told = now
            print(self._line(seen, now), flush=True)

    def _line(self, seen: int, now: float) -> str:
        rate = (seen - self._start) / max(1e-6, now - self._begun)
        left_minutes = (self._total - seen) / max(1e-6, rate) / 60
        losses = " ".join(f"{name} {loss:.4f}" for name, loss in self._losses.items())
        return (
            f"{self._stage} {seen}/{self._total} {losses} {rate:.1f}/s {left_minutes:.1f} min left"
        )


def learning_rate_share(done: float, warm_up: float, decay_from: float) -> float:
    """Linear warm-up, constant, then linear decay to 1 %; all as shares of the stage (0 to 1)."""
    rise = min(1.0, (done + 1e-4) / max(warm_up, 1e-4))
    fall = 1.0 if done < decay_from else max(0.01, (1 - done) / (1 - decay_from))
    return rise * fall
