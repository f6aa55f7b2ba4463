"""Stage `evaluate`: how often the judge sees what the prompt named, with null and ceiling.

Null: the same pictures against shuffled prompts. Ceilings: real renders of the same layouts, and
those renders after a round trip through the autoencoder.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from numpy.typing import NDArray

from inference.training.autoencoder import to_tensor
from inference.training.captions import article
from inference.training.contact_sheet import tile
from inference.training.dataset import labels_of
from inference.training.decoder import load_vae
from inference.training.denoiser import load_average
from inference.training.judge import Judge, guess, load_judge
from inference.training.models import build_pipeline
from inference.training.runs import Run
from inference.training.sampling import sample
from inference.training.scenes import SHAPE_SIZES, Layout, Placed, render
from inference.training.text import ATTRIBUTES, load_text_encoders
from inference.training.vocabulary import load_world

STAGE = "evaluate"
FIRST_SEED = 90_000
SHUFFLES = 100
OTHER_SIZE_STRIDE = 5  # every fifth prompt of the grid is drawn at each other size
Scores = dict[str, float]


def load_pipeline(run: Run) -> tuple[StableDiffusionXLPipeline, int]:
    """The pipeline of the latest averaged weights (float32), and the samples behind them."""
    tokenizer, encoders = load_text_encoders(run)
    unet, seen = load_average(run)
    return build_pipeline(tokenizer, encoders, unet, load_vae(run)), seen


def evaluate(run: Run) -> None:
    """Scores every object in every colour once per language, a part of them at other sizes."""
    pipeline, seen = load_pipeline(run)
    pipeline.to(run.device)
    judge, layouts = load_judge(run), grid()
    wanted = np.array([labels_of(layout) for layout in layouts])
    result: dict[str, Scores] = _ceilings(judge, pipeline.vae, layouts, wanted)
    folder = run.stage(STAGE)
    for language in ("en", "ko"):
        prompts = [plain_prompt(layout, language) for layout in layouts]
        seeds = list(range(FIRST_SEED, FIRST_SEED + len(prompts)))
        pictures = sample(pipeline, prompts, seeds)
        tile(list(pictures), columns=12, gap_px=0).save(folder / f"grid-{language}.png")
        guesses = guess(judge, pictures)
        result[language] = _scores(guesses, wanted)
        result[f"{language} null"] = _null(guesses, wanted)
        _report(result, language, f"{language} null")
    picked = layouts[::OTHER_SIZE_STRIDE]
    for width, height in SHAPE_SIZES[1:]:
        prompts = [plain_prompt(layout, "en") for layout in picked]
        pictures = sample(
            pipeline, prompts, list(range(len(picked))), width_px=width, height_px=height
        )
        tile(list(pictures), columns=13, gap_px=0).save(folder / f"grid-{width}x{height}.png")
        rng = np.random.default_rng(FIRST_SEED)
        real = np.stack([render(layout, rng, width, height).image for layout in picked])
        name, ceiling = f"{width}x{height}", f"{width}x{height} real renders"
        for key, seen_pictures in ((name, pictures), (ceiling, real)):
            result[key] = _scores(guess(judge, seen_pictures), wanted[::OTHER_SIZE_STRIDE])
        _report(result, name, ceiling)
    document = {"samples": seen, "prompts": len(layouts), "scores": result}
    (folder / "scores.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    run.mark_done(
        STAGE,
        f"{seen} samples, object {result['en']['object']:.2f}, colour {result['en']['colour']:.2f}",
    )


def grid() -> list[Layout]:
    """Every object in every colour; surfaces and backdrops take turns."""
    world = load_world()
    pairs = [(thing.id, colour.id) for thing in world.objects for colour in world.colours]
    return [
        Layout(
            (Placed(*pair),),
            world.surfaces[(order * 5 + order // 12) % len(world.surfaces)].id,
            world.backdrops[order % len(world.backdrops)].id,
        )
        for order, pair in enumerate(pairs)
    ]


def plain_prompt(layout: Layout, language: str) -> str:
    """The layout in one plain sentence that names all four attributes."""
    world, placed = load_world(), layout.objects[0]
    thing = world.thing(placed.object_id).names[language][0]
    colour = world.colour(placed.colour_id).names[language][0]
    surface = world.surface(layout.surface_id).names[language][0]
    backdrop = world.backdrop(layout.backdrop_id).names[language][0]
    if language == "ko":
        return f"{surface} 위의 {colour} {thing}, {backdrop}"
    return f"a photo of {article(colour)} {colour} {thing} on a {surface}, {backdrop}"


def _ceilings(
    judge: Judge, vae: AutoencoderKL, layouts: list[Layout], wanted: NDArray[np.int64]
) -> dict[str, Scores]:
    rng = np.random.default_rng(FIRST_SEED)
    real = np.stack([render(layout, rng).image for layout in layouts])
    result = {
        "real renders": _scores(guess(judge, real), wanted),
        "autoencoder round trip": _scores(guess(judge, _round_trip(vae, real)), wanted),
    }
    _report(result, *result)
    return result


@torch.no_grad()
def _round_trip(vae: AutoencoderKL, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, len(pictures), 32):
        batch = to_tensor(pictures[start : start + 32]).to(vae.device)
        restored = vae.decode(vae.encode(batch).latent_dist.mode()).sample.clamp(-1, 1).cpu()
        parts.append(((restored + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    result: NDArray[np.uint8] = np.concatenate(parts)
    return result


def _scores(guesses: NDArray[np.int64], wanted: NDArray[np.int64]) -> Scores:
    right = (guesses == wanted).mean(0)
    return {name: float(share) for name, share in zip(ATTRIBUTES, right, strict=True)}


def _null(guesses: NDArray[np.int64], wanted: NDArray[np.int64]) -> Scores:
    rng = np.random.default_rng(0)
    tries = [_scores(guesses, rng.permutation(wanted)) for _ in range(SHUFFLES)]
    return {name: float(np.mean([scores[name] for scores in tries])) for name in ATTRIBUTES}


def _report(result: dict[str, Scores], *names: str) -> None:
    for name in names:
        words = ", ".join(f"{key} {share:.3f}" for key, share in result[name].items())
        print(f"{STAGE}: {name}: {words}", flush=True)
