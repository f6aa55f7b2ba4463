"""What the engine does, seen from the environment that has torch.

``python -m tests.unit.inference.engine_checks [name ...]`` runs checks, or all, on tiny models and
prints their findings as one JSON object; the tests beside it judge them.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from inference.engine import recovery
from inference.engine.material import Pixels
from inference.engine.sampling import engine as engine_module
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.profile import measure
from inference.engine.sampling.registry import Registry, loader
from tests.unit.inference import (
    fault_checks,
    full_size,
    in_process_checks,
    material_checks,
    registry_checks,
    safety_checks,
    tiny,
)
from tests.unit.inference.engine_bench import (
    BYTES_MAX,
    CPU,
    Asked,
    Bench,
    Heard,
    now,
    refusal,
    request,
)

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
    pipeline = bench.model._architecture._pipeline
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


def _decoded_to_nan(bench: Bench, rows: list[dict[str, Any]], seed: int) -> list[Heard]:
    """Rows of which the decoder makes numbers, but for one of them."""
    engine = bench.engine()
    codec, shares = bench.model._codec, [1.0]
    decode = codec.decode

    def before_decoding(seeds: list[int]) -> None:
        shares[0] = float("nan") if seed in seeds else 1.0

    bench.model.before_decoding = before_decoding
    codec.decode = lambda latents: decode(latents) * shares[0]
    try:
        return bench.run(engine, *rows)
    finally:
        codec.decode = decode
        bench.model.before_decoding = lambda _: None


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
    bench.model.before = lambda _: None
    blank = _decoded_to_nan(bench, rows, 2)
    return {
        "blank": [one.outcome for one in blank],
        "blank_message": str(blank[1].error),
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


def allocator(bench: Bench) -> dict[str, Any]:
    """How the machine's own allocator says that memory is short, asked for more than there is."""

    def refuse(rows: list[int]) -> list[int]:
        if len(rows) > 1:
            torch.empty(1 << 50)
        return [row * 10 for row in rows]

    cleared: list[int] = []
    said = recovery.each(refuse, [1, 2], lambda: cleared.append(1))
    others = [recovery.short_of_memory(error) for error in (ValueError("x"), RuntimeError("x"))]
    return {"rows": said, "cleared": len(cleared), "others": others}


def parting(bench: Bench) -> dict[str, Any]:
    """Batches with every set of rows that raise, of which memory holds half at once or all."""
    wrong = []
    for count, fitting in ((1, 1), (2, 1), (3, 2), (5, 3), (5, 5)):
        rows = range(count)
        for bad in (set(some) for size in range(count + 1) for some in combinations(rows, size)):

            def work(part: Sequence[int], bad: set[int] = bad, most: int = fitting) -> list[int]:
                if len(part) > most:
                    raise MemoryError
                if bad & set(part):
                    raise ValueError("this row")
                return [row * 10 for row in part]

            made = recovery.each(work, list(rows), lambda: None)
            said = ["ModelFailed" if row in bad else row * 10 for row in rows]
            if [one if isinstance(one, int) else type(one).__name__ for one in made] != said:
                wrong.append([count, fitting, sorted(bad)])
    return {"wrong": wrong}


def refusing(bench: Bench) -> dict[str, Any]:
    engine = bench.engine(waiting_max=2)
    bench.run(engine, {"steps": 1})
    for seed in (1, 2):
        engine.submit(request(seed=seed), Heard())
    limit, engine_module.WAITING_BYTES_MAX = engine_module.WAITING_BYTES_MAX, 20_000_000
    heavy = bench.engine()
    engine_module.WAITING_BYTES_MAX = limit
    dot = Pixels(4096, 1024, 3, bytes(4096 * 1024 * 3))
    heavy.submit(request(image=dot, mask=Pixels(1, 1, 1, b"1")), Heard())
    pictures = refusal(heavy, image=dot)
    words = refusal(heavy)
    return {
        "pictures": pictures,
        "words": words,
        "overloaded": refusal(engine),
        "unknown": refusal(engine, model="none"),
        "invalid": refusal(engine, aspect="2:1"),
    }


def dropping(bench: Bench) -> dict[str, Any]:
    """What a row that is being sampled still holds of the pictures that its request brought."""
    engine, heard = bench.engine(), Heard()
    dot = Pixels(64, 64, 3, bytes([9, 99, 199]) * 64 * 64)
    kept = Pixels(1, 1, 1, b"\0")
    engine.submit(request(steps=3, image=dot, mask=kept), heard)
    engine.step()
    ((row,),) = engine._active.values()
    held = row.request.picture_bytes
    while engine.step():
        pass
    assert heard.picture
    return {
        "held": held,
        "colours": np.unique(heard.picture.pixels.reshape(-1, 3), axis=0).tolist(),
    }


def broken(bench: Bench) -> dict[str, Any]:
    """A model that cannot be loaded, asked for again and again as the time goes on."""
    folder = bench.directory.with_name("broken")
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    engine = bench.engine()
    tries = []
    for bench.now in (0.0, 5.0, 11.0, 100.0, 500.0, 1_000.0, 2_000.0):
        refused = refusal(engine, model="broken")
        if not refused:
            refused = {
                "reason": bench.run(engine, {"model": "broken"})[0].outcome,
                "accepted": True,
            }
        tries.append(refused)
    other = bench.run(engine, {"seed": 1, "steps": 2})[0].outcome
    return {"tries": tries, "other": other}


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
    """Eight squares and one wide picture: how far each is after ten steps of the loop."""
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
    registry = Registry(bench.directory.parent, "tiny", loader(CPU), BYTES_MAX, background=now)
    said = bench.run(Engine(registry), {"seed": 1})[0]
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
    allocator,
    parting,
    refusing,
    dropping,
    broken,
    timing,
    repeating,
    turns,
    previews,
    installed,
    *material_checks.CHECKS,
    *registry_checks.CHECKS,
    *safety_checks.CHECKS,
    *fault_checks.CHECKS,
    *in_process_checks.CHECKS,
    *full_size.CHECKS,
)


def main() -> None:
    torch.set_num_threads(1)  # two threads on busy cores wait for each other more than they work
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "tiny"
        tiny.build().save_pretrained(directory)
        material_checks.prepare(directory)
        bench = Bench(directory)
        asked = sys.argv[1:]
        checks = [each for each in CHECKS if not asked or each.__name__ in asked]
        json.dump({check.__name__: check(bench) for check in checks}, sys.stdout)


if __name__ == "__main__":
    main()
