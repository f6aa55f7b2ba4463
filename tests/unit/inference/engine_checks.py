"""What the engine does, seen from the environment that has torch.

``python -m tests.unit.inference.engine_checks`` runs every check on a tiny model and prints their
findings as one JSON object; the tests in ``test_engine.py`` judge them.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from inference.engine.engine import Engine
from inference.engine.profile import measure
from inference.engine.registry import Registry
from tests.unit.inference import tiny
from tests.unit.inference.engine_bench import CPU, Asked, Bench, Heard, refusal, request

MIXED: list[Asked] = [
    {"seed": 1, "steps": 12, "guidance_scale": 5.0},
    {"seed": 2, "steps": 20, "guidance_scale": 3.0, "negative_prompt": "blue"},
    {"seed": 3, "steps": 8, "guidance_scale": 4.0, "scheduler": "dpm"},
    {"seed": 4, "steps": 15, "guidance_scale": 1.0, "scheduler": "ddim"},
    {"seed": 5, "steps": 6, "aspect": "16:9"},
]


def company(bench: Bench) -> dict[str, Any]:
    alone = {asked["seed"]: bench.alone(asked) for asked in MIXED}
    engine, joins = bench.engine(), dict(zip((0, 2, 4, 5, 6), MIXED, strict=True))
    step, going = 0, True
    while going or step <= max(joins):
        if step in joins:
            engine.submit(request(**joins[step]), Heard())
        going = engine.step()
        step += 1
    together = bench.model.latents
    return {
        "largest_batch": max(len(batch) for batch in bench.model.batches),
        "differences": [
            (together[seed] - alone[seed]).abs().max().item() / alone[seed].abs().max().item()
            for seed in alone
        ],
    }


def reference(bench: Bench) -> dict[str, Any]:
    """The same picture from the pipeline of diffusers itself."""
    pipeline = bench.model._pipeline
    pipeline.set_progress_bar_config(disable=True)
    differences = []
    for negative, guidance in (("", 2.5), ("blue", 7.0)):
        wanted = pipeline(
            "a red mug",
            negative_prompt=negative or None,
            num_inference_steps=9,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(7),
            width=64,
            height=64,
            output_type="latent",
        ).images
        asked = {"seed": 7, "steps": 9, "guidance_scale": guidance, "negative_prompt": negative}
        differences.append((bench.alone(asked) - wanted).abs().max().item())
    return {"differences": differences}


def cancelling(bench: Bench) -> dict[str, Any]:
    engine = bench.engine(rows_max=1)
    heard = bench.run(
        engine, {"seed": 1, "steps": 50}, {"seed": 2, "steps": 3}, heard=[Heard(3), Heard()]
    )
    waiting_gone = bench.run(
        engine, {"seed": 3, "steps": 3}, {"seed": 4, "steps": 3}, heard=[Heard(), Heard(0)]
    )
    return {
        "outcomes": [one.outcome for one in heard],
        "steps_of_the_cancelled": len(heard[0].steps),
        "outcomes_in_line": [one.outcome for one in waiting_gone],
    }


def failing(bench: Bench) -> dict[str, Any]:
    rows = [{"seed": seed, "steps": 4} for seed in (1, 2, 3)]
    engine = bench.engine()
    bench.model.poisoned = {2}
    nan = bench.run(engine, *rows)

    engine = bench.engine()

    def refuse(seeds: list[int]) -> None:
        if 2 in seeds:
            raise ValueError("row 2")

    bench.model.before = refuse
    raising = bench.run(engine, *rows)
    return {
        "nan": [one.outcome for one in nan],
        "nan_steps": len(nan[1].steps),
        "raising": [one.outcome for one in raising],
        "raising_message": str(raising[1].error),
    }


def memory(bench: Bench) -> dict[str, Any]:
    def at_most(rows: int) -> Callable[[list[int]], None]:
        def check(seeds: list[int]) -> None:
            if len(seeds) > rows:
                raise torch.OutOfMemoryError("no room")

        return check

    rows = [{"seed": seed, "steps": 3} for seed in (1, 2, 3, 4)]
    engine = bench.engine()
    bench.model.before = at_most(2)
    halved = bench.run(engine, *rows)
    sizes = [len(batch) for batch in bench.model.batches]
    bench.run(engine, *rows)
    later = [len(batch) for batch in bench.model.batches[len(sizes) :]]
    engine = bench.engine()
    bench.model.before = at_most(0)
    hopeless = bench.run(engine, rows[0])
    return {
        "outcomes": [one.outcome for one in halved],
        "first_batches": sizes[:3],
        "largest_later": max(later),
        "hopeless": hopeless[0].outcome,
        "hopeless_tries": len(bench.model.batches),
        "message": str(hopeless[0].error),
    }


def refusing(bench: Bench) -> dict[str, Any]:
    engine = bench.engine(waiting_max=2)
    for seed in (1, 2):
        engine.submit(request(seed=seed), Heard())
    return {
        "overloaded": refusal(engine),
        "unknown": refusal(engine, model="none"),
        "broken": refusal(engine, model="broken"),
        "invalid": refusal(engine, aspect="2:1"),
    }


def timing(bench: Bench) -> dict[str, Any]:
    engine = bench.engine(rows_max=1)
    late = {"seed": 1, "steps": 20, "timeout_seconds": 5}
    queued = {"seed": 2, "steps": 4, "timeout_seconds": 5}
    heard = bench.run(engine, late, queued)
    seconds = [one.picture.seconds for one in heard if one.picture]
    return {"outcomes": [one.outcome for one in heard], "seconds": seconds}


def repeating(bench: Bench) -> dict[str, Any]:
    asked = {"seed": 9, "steps": 4}
    first, second = (bench.run(bench.engine(), asked)[0].sha256 for _ in range(2))
    other = bench.run(bench.engine(), {"seed": 10, "steps": 4})[0].sha256
    return {"first": first, "second": second, "other": other}


def turns(bench: Bench) -> dict[str, Any]:
    """Eight squares and one wide picture: how far each is when the wide one is half done."""
    engine = bench.engine()
    squares = [{"seed": seed, "steps": 10} for seed in range(8)]
    heard = [Heard() for _ in range(9)]
    asked = [*squares, {"seed": 8, "steps": 10, "aspect": "16:9"}]
    for one, watcher in zip(asked, heard, strict=True):
        engine.submit(request(**one), watcher)
    for _ in range(10):
        engine.step()
    return {"steps": [len(one.steps) for one in heard]}


def previews(bench: Bench) -> dict[str, Any]:
    asked = {"seed": 1, "steps": 6, "aspect": "4:3"}
    shown, plain = bench.run(bench.engine(), asked | {"previews": True}, asked)
    sizes = [len(progress.preview) for progress in shown.steps]
    picture = Image.open(io.BytesIO(shown.steps[1].preview))
    assert shown.picture
    return {
        "steps": [[one.step, one.steps] for one in shown.steps],
        "bytes": sizes,
        "plain_bytes": [len(one.preview) for one in plain.steps],
        "format": picture.format,
        "size": picture.size,
        "picture_size": list(reversed(shown.picture.pixels.shape[:2])),
    }


def installed(bench: Bench) -> dict[str, Any]:
    profile = measure(bench.model)
    (bench.directory / "atelier.json").write_text('{"steps": 5, "guidance_scale": 2.5}')
    said = bench.run(Engine(Registry.load(bench.directory.parent, "tiny", CPU)), {"seed": 1})[0]
    assert said.picture
    return {
        "rows_max": profile.rows_max,
        "row_step_seconds": profile.row_step_seconds,
        "steps": said.picture.steps,
        "guidance_scale": said.picture.guidance_scale,
    }


CHECKS = (
    company,
    reference,
    cancelling,
    failing,
    memory,
    refusing,
    timing,
    repeating,
    turns,
    previews,
    installed,
)


def main() -> None:
    torch.set_num_threads(1)  # two threads on busy cores wait for each other more than they work
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "tiny"
        tiny.build().save_pretrained(directory)
        bench = Bench(directory)
        json.dump({check.__name__: check(bench) for check in CHECKS}, sys.stdout)


if __name__ == "__main__":
    main()
