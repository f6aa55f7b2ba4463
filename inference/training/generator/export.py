"""Stage `export`: the trained pipeline in fp16, with its card and a sheet of unpicked samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from string import Template

import torch
from diffusers import StableDiffusionXLPipeline

from inference.training.contact_sheet import tile
from inference.training.gates import load_gates, table
from inference.training.generator.evaluation import STAGE as EVALUATE_STAGE
from inference.training.generator.evaluation import load_pipeline
from inference.training.generator.pictures import FULL_PX
from inference.training.generator.sampling import GUIDANCE_SCALE, STEPS, sample
from inference.training.runs import Run
from inference.training.world.vocabulary import WORLD_PATH

STAGE = "export"
TARGET = Path("build/bundled/sdxl")
FILE_BYTES_MAX = 25_000_000
FOLDER_BYTES_MAX = 33_000_000  # the segmenter has the rest of 40 MB
CARD = Path(__file__).with_name("card.md")
SHEET_SEEDS = range(24)
SHEET_COLUMNS = 12
SHEET_PROMPTS = (
    "a pink latte glass on a wooden table, cream wall",
    "딸기 라떼 광고 사진, 나무 탁자 위",
    "a red sneaker on a wooden table, gray wall",
    "a blue perfume bottle and a pink lipstick on a marble counter, sunset",
    "잔디밭 위의 노란 곰 인형, 파란 하늘",
    "a striped red cap on a white table, brick wall",
)


def export_bundle(run: Run, target: Path = TARGET) -> None:
    """Writes the folder that `StableDiffusionXLPipeline.from_pretrained` loads, and checks it.

    `world.json` beside the weights is the vocabulary that they know.
    """
    pipeline, seen = load_pipeline(run)
    shutil.rmtree(target, ignore_errors=True)
    pipeline.to(dtype=torch.float16).save_pretrained(target, safe_serialization=True)
    for path in target.rglob("*.safetensors"):
        path.chmod(0o644)  # written for the owner alone
    shutil.copy(WORLD_PATH, target / "world.json")
    defaults = {"steps": STEPS, "guidance_scale": GUIDANCE_SCALE}
    (target / "atelier.json").write_text(json.dumps(defaults) + "\n", encoding="utf-8")
    draw_samples(target)
    if run.is_done(EVALUATE_STAGE):
        (target / "README.md").write_text(card(run, pipeline), encoding="utf-8")
    check_sizes(target)
    run.mark_done(STAGE, f"{seen} samples, {_bytes_of(target) / 2**20:.1f} MiB in {target}")


def draw_samples(target: Path) -> None:
    """Loads the exported folder as a user would and draws each prompt with seeds 0 to 23."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        target, local_files_only=True, dtype=torch.float32
    )
    prompts = [prompt for prompt in SHEET_PROMPTS for _ in SHEET_SEEDS]
    seeds = list(SHEET_SEEDS) * len(SHEET_PROMPTS)
    pictures = sample(pipeline, prompts, seeds, width_px=FULL_PX, height_px=FULL_PX)
    sheet = tile(list(pictures), columns=SHEET_COLUMNS)
    half = sheet.resize((sheet.width // 2, sheet.height // 2))
    half.save(target / "samples.jpg", quality=88, optimize=True)


def card(run: Run, pipeline: StableDiffusionXLPipeline) -> str:
    """The README of the folder, from what the stages have recorded."""
    gates = load_gates(run.stage(EVALUATE_STAGE) / "gates.json")
    stages = {
        name: (run.stage(name) / "done").read_text(encoding="utf-8").strip()
        if run.is_done(name)
        else "not finished"
        for name in ("data", "vae", "decoder", "latents", "text", "denoiser", "judge")
    }
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        stages,
        scores=table(gates),
        seed=run.seed,
        steps=STEPS,
        guidance=f"{GUIDANCE_SCALE:g}",
        tokens=len(pipeline.tokenizer),
        parts="\n".join(_parts(pipeline)),
        sheet="\n".join(f"{i}. `{p}`" for i, p in enumerate(SHEET_PROMPTS, 1)),
    )


def _parts(pipeline: StableDiffusionXLPipeline) -> list[str]:
    parts = (pipeline.vae, pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2)
    names = ("autoencoder", "denoiser", "text encoder", "text encoder 2")
    return [
        f"| {name} | {type(part).__name__} | {part.num_parameters() / 1e6:.2f} M |"
        for name, part in zip(names, parts, strict=True)
    ]


def check_sizes(target: Path) -> None:
    """Raises ValueError when a file or the folder is larger than the repository takes."""
    for path in sorted(target.rglob("*")):
        if path.is_file() and path.stat().st_size > FILE_BYTES_MAX:
            raise ValueError(f"{path.name} has more than {FILE_BYTES_MAX} bytes")
    if _bytes_of(target) > FOLDER_BYTES_MAX:
        raise ValueError(f"{target.name} has more than {FOLDER_BYTES_MAX} bytes")


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
