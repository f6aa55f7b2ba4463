"""Pictures to begin from, drawings to follow, adapters, schedulers and Flux, on tiny models.

Each check says how far the loop is from the pipelines of diffusers, and from itself in company.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    FluxImg2ImgPipeline,
    FluxPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image

from inference.engine.material import Control, Lora, Pixels
from inference.engine.models.control import canny
from inference.engine.request import SCHEDULERS
from tests.unit.inference import tiny, tiny_kin
from tests.unit.inference.engine_bench import Asked, Bench, Heard, request

PROMPT = "a red mug"
SIDE = 64


def picture(width: int = SIDE, height: int = SIDE, seed: int = 0) -> Pixels:
    """A disc on a slope of colours, with some noise."""
    noise = np.random.default_rng(seed).integers(0, 20, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    made = np.stack([x * 200 // width, y * 200 // height, np.full_like(x, 90 + seed)], -1) + noise
    made[(x - width // 2) ** 2 + (y - height // 2) ** 2 < (min(width, height) // 4) ** 2] = 230
    return Pixels(width, height, 3, made.astype(np.uint8).tobytes())


def mask(width: int = SIDE, height: int = SIDE) -> Pixels:
    """The right half, on a border of cells."""
    made = np.zeros((height, width), np.uint8)
    made[:, width // 2 :] = 255
    return Pixels(width, height, 1, made.tobytes())


def shown(pixels: Pixels) -> Image.Image:
    mode = "RGB" if pixels.bands == 3 else "L"
    return Image.frombytes(mode, (pixels.width, pixels.height), pixels.data)


def array(pixels: Pixels) -> np.ndarray:
    return np.frombuffer(pixels.data, np.uint8).reshape(pixels.height, pixels.width, -1)


def fresh(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def wanted(pipeline: Any, seed: int = 7, **asked: Any) -> torch.Tensor:
    """The latents by a pipeline of diffusers."""
    generator = torch.Generator().manual_seed(seed)
    said = {"num_inference_steps": 8, "guidance_scale": 3.0, "output_type": "latent"} | asked
    return fresh(pipeline)(PROMPT, generator=generator, **said).images


def off(bench: Bench, reference: torch.Tensor, **asked: Any) -> float:
    """The largest difference to what the loop makes of the same, relative to the largest number."""
    made = bench.alone({"seed": 7, "steps": 8, "guidance_scale": 3.0, "prompt": PROMPT} | asked)
    return ((made - reference).abs().max() / reference.abs().max()).item()


def image_to_image(bench: Bench) -> dict[str, Any]:
    pipeline = StableDiffusionXLImg2ImgPipeline.from_pretrained(bench.directory)
    differences = {
        strength: off(
            bench,
            wanted(pipeline, image=shown(picture()), strength=strength),
            image=picture(),
            strength=strength,
        )
        for strength in (0.3, 0.75, 1.0)
    }
    heard = bench.run(bench.engine(), {"image": picture(), "strength": 0.3, "steps": 10})[0]
    other_size = bench.run(
        bench.engine(), {"image": picture(200, 90), "steps": 4, "aspect": "1:1"}
    )[0]
    assert other_size.picture
    return {
        "differences": differences,
        "steps": [[one.step, one.steps] for one in heard.steps],
        "other_size": list(other_size.picture.pixels.shape),
    }


def painting_over(bench: Bench) -> dict[str, Any]:
    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(bench.directory)
    differences = {
        strength: off(
            bench,
            wanted(pipeline, image=shown(picture()), mask_image=shown(mask()), strength=strength),
            image=picture(),
            mask=mask(),
            strength=strength,
        )
        for strength in (0.5, 1.0)
    }
    return {"differences": differences} | _kept(bench)


def _kept(bench: Bench) -> dict[str, Any]:
    """How many bytes change where the mask keeps, and where it does not; also where it is soft."""
    asked: Asked = {"seed": 1, "steps": 4, "image": picture(), "mask": mask()}
    heard = bench.run(bench.engine(), asked)[0]
    assert heard.picture
    changed = heard.picture.pixels != array(picture())
    soft = Pixels(SIDE, SIDE, 1, bytes(range(0, 256, 4)) * SIDE)
    blended = bench.run(bench.engine(), asked | {"mask": soft})[0]
    assert blended.picture
    return {
        "kept_changed": int(changed[:, : SIDE // 2].sum()),
        "painted_changed": float(changed[:, SIDE // 2 :].mean()),
        "soft_edge_changed": int((blended.picture.pixels != array(picture()))[:, 0].sum()),
    }


def made_for_painting(bench: Bench) -> dict[str, Any]:
    """A denoiser of nine channels, against its pipeline; whole pictures too, alone and mixed."""
    directory = bench.directory.with_name("painting")
    tiny_kin.build_painting().save_pretrained(directory)
    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(directory)
    own = Bench(directory)
    differences = {
        strength: off(
            own,
            wanted(pipeline, image=shown(picture()), mask_image=shown(mask()), strength=strength),
            image=picture(),
            mask=mask(),
            strength=strength,
        )
        for strength in (0.5, 1.0)
    }
    rows: list[Asked] = [
        {"seed": 1, "steps": 4, "image": picture(), "mask": mask()},
        {"seed": 2, "steps": 5},
        {"seed": 3, "steps": 6, "image": picture(), "strength": 0.5},
    ]
    return {"differences": differences, "company": in_company(own, rows)} | _kept(own)


def control(bench: Bench) -> dict[str, Any]:
    pipeline = StableDiffusionXLControlNetPipeline.from_pretrained(
        bench.directory,
        controlnet=ControlNetModel.from_pretrained(bench.directory / "controlnets/canny"),
    )
    edges = Image.fromarray(canny(array(picture())))
    differences = {}
    for scale, start, end in ((1.0, 0.0, 1.0), (0.5, 0.25, 0.75)):
        reference = wanted(
            pipeline,
            image=edges,
            controlnet_conditioning_scale=scale,
            control_guidance_start=start,
            control_guidance_end=end,
        )
        drawing = Control("canny", picture(), scale=scale, start=start, end=end)
        differences[f"{scale} {start} {end}"] = off(bench, reference, controls=(drawing,))
    plain = bench.alone({"seed": 7, "steps": 8})
    unheard = bench.alone(
        {"seed": 7, "steps": 8, "controls": (Control("canny", picture(), scale=0.0),)}
    )
    depth = bench.alone({"seed": 7, "steps": 8, "controls": (Control("depth", picture()),)})
    given = Control("depth", picture(), prepared=True)
    return {
        "differences": differences,
        "edges": float((canny(array(picture())) > 0).mean()),
        "scale_zero": (plain - unheard).abs().max().item(),
        "depth_moves": (plain - depth).abs().max().item(),
        "depth_given": bench.run(bench.engine(), {"steps": 2, "controls": (given,)})[0].outcome,
    }


def adapters(bench: Bench) -> dict[str, Any]:
    """Against the same adapters merged into the weights."""
    differences = {}
    for name, worn, weights in (
        ("one", (Lora("blue"),), {1: 1.0}),
        ("two", (Lora("blue", 0.5), Lora("red", -1.5)), {1: 0.5, 2: -1.5}),
    ):
        pipeline = StableDiffusionXLPipeline.from_pretrained(bench.directory)
        tiny_kin.merged(pipeline, weights)
        reference = wanted(pipeline, width=SIDE, height=SIDE)
        differences[name] = off(bench, reference, loras=worn)
    plain = bench.alone({"seed": 7, "steps": 8})
    peft, kohya = (
        bench.alone({"seed": 7, "steps": 8, "loras": (Lora(name),)}) for name in ("peft", "kohya")
    )
    outcomes = {
        name: _end(bench, {"steps": 2, "loras": (Lora(name),)})
        for name in ("blue", "broken", "wrong", "dora", "none")
    }
    return {
        "differences": differences,
        "moves": (plain - peft).abs().max().item(),
        "formats": (kohya - peft).abs().max().item() / peft.abs().max().item(),
        "outcomes": outcomes,
        "bytes": bench.model.size_bytes,
    }


def _end(bench: Bench, asked: Asked) -> list[str]:
    heard = bench.run(bench.engine(), asked)[0]
    return [heard.outcome, heard.error.field if heard.error else ""]


def schedulers(bench: Bench) -> dict[str, Any]:
    """Every name gives a picture of its own, or says that it does not fit."""
    ends = {name: bench.run(bench.engine(), _by(name))[0] for name in SCHEDULERS}
    pictures = {name: heard.sha256 for name, heard in ends.items() if heard.picture}
    refused = {name: heard.error.field for name, heard in ends.items() if heard.error}
    from_half = {
        name: _end(bench, _by(name) | {"image": picture(), "strength": 0.5})[0] for name in pictures
    }
    again = {name: bench.run(bench.engine(), _by(name))[0].sha256 for name in pictures}
    too_many = _end(bench, _by("lcm") | {"steps": 60})
    return {
        "pictures": pictures,
        "refused": refused,
        "from_half": from_half,
        "again": again,
        "too_many": too_many,
    }


def _by(name: str) -> Asked:
    return {"seed": 3, "steps": 6, "scheduler": name}


def few_steps(bench: Bench) -> dict[str, Any]:
    """A model that is told its guidance, and one that is asked without any."""
    directory = bench.directory.with_name("lcm")
    tiny_kin.build_told_guidance().save_pretrained(directory)
    pipeline = StableDiffusionXLPipeline.from_pretrained(directory)
    told = Bench(directory)
    size = {"width": SIDE, "height": SIDE, "num_inference_steps": 4}
    differences = {
        "told": off(told, wanted(pipeline, **size), steps=4),
        "without": off(
            bench,
            wanted(bench.model._architecture._pipeline, guidance_scale=0.0, **size),
            steps=4,
            guidance_scale=0.0,
        ),
    }
    return {"differences": differences}


def flux(bench: Bench) -> dict[str, Any]:
    directory = bench.directory.with_name("flux")
    tiny_kin.build_flux().save_pretrained(directory)
    own = Bench(directory)
    asked = {"width": SIDE, "height": SIDE, "max_sequence_length": 32}
    reference = wanted(FluxPipeline.from_pretrained(directory), **asked)
    start = wanted(
        FluxImg2ImgPipeline.from_pretrained(directory),
        image=shown(picture()),
        strength=0.5,
        **asked,
    )
    rows: list[Asked] = [
        {"seed": 1, "steps": 4},
        {"seed": 2, "steps": 6, "guidance_scale": 2.0},
        {"seed": 3, "steps": 6, "image": picture(), "strength": 0.5},
        {"seed": 4, "steps": 4, "image": picture(), "mask": mask()},
    ]
    schnell = bench.directory.with_name("schnell")
    tiny_kin.build_flux(told_guidance=False).save_pretrained(schnell)
    seen = own.run(own.engine(), {"seed": 1, "steps": 4, "previews": True, "aspect": "16:9"})[0]
    assert seen.picture
    return {
        "differences": {
            "text": off(own, packed(reference)),
            "image": off(own, packed(start), image=picture(), strength=0.5),
        },
        "company": in_company(own, rows),
        "schnell": [Bench(schnell).model.defaults.steps, _end(Bench(schnell), {"seed": 1})[0]],
        "drawings": _end(own, {"controls": (Control("canny", picture()),)}),
        "scheduler": _end(own, {"scheduler": "ddim"}),
        "shape": list(seen.picture.pixels.shape),
        "previews": [len(one.preview) > 0 for one in seen.steps],
    }


def packed(latents: torch.Tensor) -> torch.Tensor:
    """Patches as pictures, for a square."""
    side = SIDE // 8
    return FluxPipeline._unpack_latents(latents, side * 8, side * 8, 8)


def mixed(bench: Bench) -> dict[str, Any]:
    """Rows of every kind in one batch, joining at different steps."""
    rows: list[Asked] = [
        {"seed": 1, "steps": 9},
        {"seed": 2, "steps": 8, "image": picture(), "strength": 0.6},
        {"seed": 3, "steps": 7, "image": picture(), "mask": mask(), "scheduler": "dpm"},
        {"seed": 4, "steps": 8, "controls": (Control("canny", picture()),)},
        {"seed": 5, "steps": 6, "controls": (Control("depth", picture()),), "guidance_scale": 1.0},
        {"seed": 6, "steps": 8, "loras": (Lora("blue"),)},
        {"seed": 7, "steps": 6, "loras": (Lora("red", 0.7), Lora("blue", -1.0))},
        {"seed": 8, "steps": 5, "scheduler": "euler_a"},
    ]
    return {"differences": in_company(bench, rows)} | {
        "largest_batch": max(len(batch) for batch in bench.model.batches)
    }


def in_company(bench: Bench, rows: list[Asked]) -> list[float]:
    """How far rows that join one step after the other are from the same rows alone."""
    alone = [bench.alone(row) for row in rows]
    engine = bench.engine()
    for row in rows:
        engine.submit(request(**row), Heard())
        engine.step()
    while engine.step():
        pass
    together = [bench.model.latents[row["seed"]] for row in rows]
    pairs = zip(alone, together, strict=True)
    return [((a - b).abs().max() / a.abs().max()).item() for a, b in pairs]


def prepare(directory: Path) -> None:
    """Puts everything beside the tiny model that these checks use."""
    pipeline = tiny.build()
    tiny_kin.add_controlnets(directory, pipeline)
    tiny_kin.add_loras(directory, pipeline)


CHECKS = (
    image_to_image,
    painting_over,
    made_for_painting,
    control,
    adapters,
    schedulers,
    few_steps,
    flux,
    mixed,
)
