"""Plays the parts of ``gpu`` and prints every figure, and every note, as one line of JSON.

A part that fails becomes a note, and the others go on; in a dry run it ends the run.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar

from tests.bench import _gpu_flux, _gpu_levers, _gpu_segment, _gpu_serving
from tests.bench._gpu_setting import DRY, FULL, Setting
from tests.bench.record import Record

Part = Callable[[Setting, Path], Iterable[Record | str]]
PARTS: dict[str, Part] = {
    "serving": _gpu_serving.part,
    "levers": _gpu_levers.part,
    "segment": _gpu_segment.part,
    "flux": _gpu_flux.part,
}


def main(options: list[str]) -> None:
    logging.disable(logging.CRITICAL)
    disable_progress_bar()
    # Variants take turns, and each has its own compiled code; none may fall back to eager unseen.
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    setting = DRY if "--dry-run" in options else FULL
    if setting.is_dry:
        torch.set_num_threads(1)
    for name in os.environ.get("BENCH_PARTS", ",".join(PARTS)).split(","):
        with tempfile.TemporaryDirectory() as folder:
            try:
                for found in PARTS[name](setting, Path(folder)):
                    _say(found)
            except Exception as error:
                if setting.is_dry:
                    raise
                _say(f"gpu: {name}: NOT measured: {type(error).__name__}: {error}"[:1_000])
        torch.cuda.empty_cache()


def _say(found: Record | str) -> None:
    said = {"note": found} if isinstance(found, str) else asdict(found)
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
