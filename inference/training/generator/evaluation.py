"""Stage `evaluate`: how often the judge sees what the prompt named, with null and ceiling.

Null: the same pictures against shuffled prompts. Ceiling: real renders of the same layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from numpy.typing import NDArray

from inference.training.contact_sheet import tile
from inference.training.gates import Gate, save_gates, table
from inference.training.generator.autoencoder import to_tensor
from inference.training.generator.decoder import load_vae
from inference.training.generator.denoiser import load_average
from inference.training.generator.judge import Judge, guess, load_judge
from inference.training.generator.labels import Labels, columns, labels_of
from inference.training.generator.latency import latency_gates
from inference.training.generator.models import build_pipeline
from inference.training.generator.pictures import FULL_SIZES
from inference.training.generator.sampling import GUIDANCE_SCALE, sample
from inference.training.generator.text import load_text_encoders
from inference.training.runs import Run
from inference.training.world.english import article
from inference.training.world.korean import with_particle
from inference.training.world.layouts import Layout, Placed, held_out_pairs, random_layout
from inference.training.world.scenes import render
from inference.training.world.vocabulary import load_world

STAGE = "evaluate"
GATE_SEED = 20270217
FIRST_SEED = 700_000
SHUFFLES = 100
TWO_OBJECTS, HELD_OUT_REPEATS, ASPECT_PROMPTS = 120, 4, 36
SHARPNESS_SCENES = 64
LANGUAGES = ("en", "ko")
JUDGED = "shape, colour, surface, backdrop, two objects, held-out pairs and aspects"
Size = tuple[int, int]
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawn:
    """Generated pictures of layouts, and what the judge sees in them and in real renders."""

    pictures: Pictures
    wanted: Labels
    seen: Labels
    real: Labels

    def share(self, among: Sequence[int]) -> float:
        """Share of pictures in which all attributes of `among` are as wanted."""
        return _right(self.seen, self.wanted, among)


class Studio:
    """The pipeline and the judge, at the size that the weights have been trained for."""

    def __init__(
        self,
        pipeline: StableDiffusionXLPipeline,
        judge: Judge,
        sizes: Sequence[Size],
        guidance_scale: float = GUIDANCE_SCALE,
        first_seed: int = FIRST_SEED,
    ) -> None:
        self.pipeline, self.judge, self.sizes = pipeline, judge, sizes
        self._guidance_scale, self._first_seed = guidance_scale, first_seed

    def seed(self, language: str, offset: int) -> int:
        """The first seed of a group of pictures; no two groups share any."""
        return self._first_seed + 100_000 * LANGUAGES.index(language) + offset

    def layout_rng(self) -> np.random.Generator:
        """What draws the layouts that are not taken in turn."""
        return np.random.default_rng([GATE_SEED, self._first_seed])

    def draw(self, layouts: Sequence[Layout], language: str, size: Size, seed: int) -> Drawn:
        """One picture of each layout, asked for in plain words."""
        width, height = size
        prompts = [plain_prompt(layout, language) for layout in layouts]
        seeds = list(range(seed, seed + len(prompts)))
        pictures = sample(
            self.pipeline,
            prompts,
            seeds,
            width_px=width,
            height_px=height,
            guidance_scale=self._guidance_scale,
        )
        rng = np.random.default_rng(seed)
        real = np.stack([render(layout, rng, width, height).image for layout in layouts])
        return Drawn(
            pictures,
            np.stack([labels_of(layout) for layout in layouts]),
            guess(self.judge, pictures),
            guess(self.judge, real),
        )


def load_pipeline(run: Run) -> tuple[StableDiffusionXLPipeline, int]:
    """The pipeline of the latest averaged weights (float32), and the samples behind them."""
    tokenizer, encoders = load_text_encoders(run)
    unet, seen = load_average(run)
    return build_pipeline(tokenizer, encoders, unet, load_vae(run)), seen


def evaluate(run: Run) -> None:
    """Scores the latest weights, prints and saves the table and the grids to look at."""
    folder = run.stage(STAGE)
    if run.processes > 1:
        with get_context("spawn").Pool(len(LANGUAGES), torch.set_num_threads, (1,)) as pool:
            parts = pool.starmap(_judged_apart, [(run, language) for language in LANGUAGES])
    else:
        parts = [_judged_apart(run, language) for language in LANGUAGES]
    pipeline, seen = load_pipeline(run)
    gates = [*_with_gap(parts), *unjudged(pipeline.to(run.device), FULL_SIZES[0])]
    save_gates(folder / "gates.json", gates)
    print(table(gates), flush=True)
    unmet = sum(gate.is_met is False for gate in gates)
    run.mark_done(STAGE, f"{seen} samples, {unmet} gates not met")


def _judged_apart(run: Run, language: str) -> list[Gate]:
    """The gates of one language, by a pipeline of their own: the two share no picture."""
    pipeline, _ = load_pipeline(run)
    studio = Studio(pipeline.to(run.device), load_judge(run), FULL_SIZES)
    return _language_gates(studio, language, run.stage(STAGE))


def judged(studio: Studio) -> list[Gate]:
    """What a judge has to see: what is drawn, in both languages."""
    return _with_gap([_language_gates(studio, language) for language in LANGUAGES])


def _language_gates(studio: Studio, language: str, grids: Path | None = None) -> list[Gate]:
    """`grids` is a folder for the pictures of single objects."""
    ones = grid()
    drawn = studio.draw(ones, language, studio.sizes[0], studio.seed(language, 0))
    if grids is not None:
        tile(list(drawn.pictures), columns=12, gap_px=0).save(grids / f"grid-{language}.png")
    aspects = range(1, len(studio.sizes))
    return [
        *_one_object_gates(drawn, language),
        *_two_object_gates(studio, language),
        _held_out_gate(studio, language),
        *(_aspect_gate(studio, ones, order, language) for order in aspects),
    ]


def _with_gap(parts: Sequence[Sequence[Gate]]) -> list[Gate]:
    gates = [gate for part in parts for gate in part]
    return [*gates, _korean_gap(gates)]


def unjudged(pipeline: StableDiffusionXLPipeline, size: Size) -> list[Gate]:
    """What needs no judge: how sharp pictures are and how long they take."""
    return [_sharpness_gate(pipeline, size), *latency_gates(pipeline, size)]


def grid() -> list[Layout]:
    """Every object in every colour that training shows; surfaces and backdrops take turns."""
    world = load_world()
    pairs = [
        (thing.id, colour.id)
        for thing in world.objects
        for colour in world.colours
        if (thing.id, colour.id) not in held_out_pairs()
    ]
    return [_in_turn(Placed(*pair), order) for order, pair in enumerate(pairs)]


def without_materials(layout: Layout) -> Layout:
    """The same things, plain: `plain_prompt` names no materials."""
    return replace(layout, objects=tuple(replace(one, material_id=None) for one in layout.objects))


def plain_prompt(layout: Layout, language: str) -> str:
    """The layout in one plain sentence that names everything."""
    world = load_world()

    def named(placed: Placed) -> str:
        colour = world.colour(placed.colour_id).names[language][0]
        return f"{colour} {world.thing(placed.object_id).names[language][0]}"

    things = [named(placed) for placed in layout.objects]
    surface = world.surface(layout.surface_id).names[language][0]
    backdrop = world.backdrop(layout.backdrop_id).names[language][0]
    if language == "ko":
        *before, last = things
        subject = " ".join([*(with_particle(words, "with") for words in before), last])
        return f"{surface} 위의 {subject}, {backdrop}"
    subject = " and ".join(f"{article(words)} {words}" for words in things)
    return f"a photo of {subject} on a {surface}, {backdrop}"


def _in_turn(placed: Placed, order: int) -> Layout:
    world = load_world()
    return Layout(
        (placed,),
        world.surfaces[(order * 5 + order // 12) % len(world.surfaces)].id,
        world.backdrops[(order * 3 + order // 11) % len(world.backdrops)].id,
    )


def _one_object_gates(drawn: Drawn, language: str) -> list[Gate]:
    """Colour and shape have limits in English; Korean is held by `_korean_gap`.

    All places are read: whoever draws a second object has not drawn one.
    """
    limit = 0.95 if language == "en" else None
    return [
        _gate(drawn, f"{language}: one object, {title}", columns(name), limit)
        for title, name in (("shape", "object"), ("colour", "colour"))
    ] + [_gate(drawn, f"{language}: {name}", columns(name)) for name in ("surface", "backdrop")]


def _korean_gap(gates: Sequence[Gate]) -> Gate:
    """How far Korean lies below English, the larger of colour and shape."""
    values = {gate.name: gate.value for gate in gates}
    gaps = [
        values[f"en: one object, {name}"] - values[f"ko: one object, {name}"]
        for name in ("shape", "colour")
    ]
    return Gate("Korean below English", max(gaps), 0.03, at_most=True)


def _two_object_gates(studio: Studio, language: str) -> list[Gate]:
    layouts = two_different(studio.layout_rng(), TWO_OBJECTS)
    drawn = studio.draw(layouts, language, studio.sizes[0], studio.seed(language, 5000))
    shapes, colours = columns("object"), columns("colour")
    title = f"{language}: two objects"
    return [
        _gate(drawn, f"{title}, all four attributes", [*shapes, *colours], 0.80),
        _gate(drawn, f"{title}, both shapes in place", shapes),
        _gate(drawn, f"{title}, both colours in place", colours),
    ]


def two_different(rng: np.random.Generator, count: int) -> list[Layout]:
    """Layouts of two plain objects side by side that share neither kind nor colour."""
    layouts: list[Layout] = []
    while len(layouts) < count:
        layout = replace(without_materials(random_layout(rng, 2)), overlapping=False)
        first, second = layout.objects
        if first.object_id != second.object_id and first.colour_id != second.colour_id:
            layouts.append(layout)
    return layouts


def _held_out_gate(studio: Studio, language: str) -> Gate:
    pairs = sorted(held_out_pairs()) * HELD_OUT_REPEATS
    layouts = [_in_turn(Placed(*pair), order) for order, pair in enumerate(pairs)]
    drawn = studio.draw(layouts, language, studio.sizes[0], studio.seed(language, 7000))
    both = [*columns("object"), *columns("colour")]
    return _gate(drawn, f"{language}: held-out pairs, colour and shape", both, 0.85)


def _aspect_gate(studio: Studio, layouts: Sequence[Layout], order: int, language: str) -> Gate:
    picked, size = layouts[:: len(layouts) // ASPECT_PROMPTS], studio.sizes[order]
    drawn = studio.draw(picked, language, size, studio.seed(language, 10_000 * order))
    both = [*columns("object"), *columns("colour")]
    return _gate(drawn, f"{language}: {size[0]}x{size[1]}, colour and shape", both, 0.90)


def _sharpness_gate(pipeline: StableDiffusionXLPipeline, size: Size) -> Gate:
    """Edge strength of generated pictures as a share of the autoencoder's round trip."""
    rng = np.random.default_rng([GATE_SEED, 1])
    layouts = [random_layout(rng, 1 + order % 2) for order in range(SHARPNESS_SCENES)]
    width, height = size
    seeds = range(FIRST_SEED + 8000, FIRST_SEED + 8000 + len(layouts))
    prompts = [plain_prompt(layout, LANGUAGES[0]) for layout in layouts]
    drawn = sample(pipeline, prompts, list(seeds), width_px=width, height_px=height)
    real = np.stack([render(layout, rng, width, height).image for layout in layouts])
    trip = edge_strength(_round_trip(pipeline.vae, real))
    share = edge_strength(drawn) / trip
    return Gate("sharpness, of the round trip's", share, 0.8, ceiling=edge_strength(real) / trip)


def edge_strength(pictures: Pictures) -> float:
    """Mean absolute second difference of luma, in both directions, of pictures (N, H, W, 3)."""
    luma = pictures.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    down, across = np.diff(luma, 2, axis=1), np.diff(luma, 2, axis=2)
    return float(np.abs(down).mean() + np.abs(across).mean())


@torch.no_grad()
def _round_trip(vae: AutoencoderKL, pictures: Pictures) -> Pictures:
    parts = []
    for start in range(0, len(pictures), 8):
        batch = to_tensor(pictures[start : start + 8]).to(vae.device)
        restored = vae.decode(vae.encode(batch).latent_dist.mode()).sample.clamp(-1, 1).cpu()
        parts.append(((restored + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    result: Pictures = np.concatenate(parts)
    return result


def _gate(drawn: Drawn, name: str, among: list[int], limit: float | None = None) -> Gate:
    rng = np.random.default_rng(0)
    null = [_right(drawn.seen, rng.permutation(drawn.wanted), among) for _ in range(SHUFFLES)]
    return Gate(
        name,
        drawn.share(among),
        limit,
        null=float(np.mean(null)),
        ceiling=_right(drawn.real, drawn.wanted, among),
        count=len(drawn.wanted),
    )


def _right(seen: Labels, wanted: Labels, among: Sequence[int]) -> float:
    return float((seen[:, among] == wanted[:, among]).all(1).mean())
