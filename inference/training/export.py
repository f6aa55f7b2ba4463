"""Stage `export`: the trained pipeline in fp16, with its card and a sheet of unpicked samples."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from string import Template

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import ImageOps

from inference.training.contact_sheet import tile
from inference.training.evaluation import STAGE as EVALUATE_STAGE
from inference.training.evaluation import load_pipeline
from inference.training.runs import Run
from inference.training.sampling import STEPS, sample
from inference.training.text import ATTRIBUTES

STAGE = "export"
BUNDLED = Path(__file__).parents[1] / "bundled" / "sdxl"
FILE_BYTES_MAX = 25 * 2**20
FOLDER_BYTES_MAX = 35 * 2**20
SHEET_BYTES_MAX = 400_000
CARD = Path(__file__).with_name("card.md")
SHEET_SEEDS = range(8)
SHEET_PROMPTS = (
    "a pink latte glass on a marble counter, cream wall",
    "딸기 라떼 광고 사진, 나무 탁자 위",
    "a red sneaker on a wooden table, gray wall",
    "a blue perfume bottle on a white table, sunset",
    "잔디밭 위의 노란 곰 인형, 파란 하늘",
    "a purple popcorn bucket on a dark table, dark background",
)


def export_bundle(run: Run, target: Path = BUNDLED) -> None:
    """Writes the folder that `StableDiffusionXLPipeline.from_pretrained` loads, and checks it."""
    pipeline, seen = load_pipeline(run)
    shutil.rmtree(target, ignore_errors=True)
    pipeline.to(dtype=torch.float16).save_pretrained(target, safe_serialization=True)
    for path in target.rglob("*.safetensors"):
        path.chmod(0o644)  # written for the owner alone
    draw_samples(target)
    if run.is_done(EVALUATE_STAGE):
        (target / "README.md").write_text(card(run, pipeline), encoding="utf-8")
    check_sizes(target)
    run.mark_done(STAGE, f"{seen} samples, {_bytes_of(target) / 2**20:.1f} MiB in {target.name}")


def draw_samples(target: Path) -> None:
    """Loads the exported folder as a user would and draws each prompt with seeds 0 to 7.

    The sheet keeps as many bits per channel as its size limit allows.
    """
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        target, local_files_only=True, dtype=torch.float32
    )
    prompts = [prompt for prompt in SHEET_PROMPTS for _ in SHEET_SEEDS]
    pictures = sample(pipeline, prompts, list(SHEET_SEEDS) * len(SHEET_PROMPTS))
    sheet = tile(list(pictures), columns=len(SHEET_SEEDS))
    for bits in (8, 7, 6, 5):
        ImageOps.posterize(sheet, bits).save(target / "samples.png", optimize=True)
        if (target / "samples.png").stat().st_size <= SHEET_BYTES_MAX:
            return
    raise ValueError(f"samples.png has more than {SHEET_BYTES_MAX} bytes")


def card(run: Run, pipeline: StableDiffusionXLPipeline) -> str:
    """The model card: `card.md` with the numbers of this run."""
    scores = json.loads((run.stage(EVALUATE_STAGE) / "scores.json").read_text(encoding="utf-8"))
    rows = [
        f"| {name} | " + " | ".join(f"{shares[key]:.2f}" for key in ATTRIBUTES) + " |"
        for name, shares in scores["scores"].items()
    ]
    stages = {
        name: (run.stage(name) / "done").read_text(encoding="utf-8").strip()
        for name in ("data", "vae", "decoder", "text", "unet", "judge")
    }
    notes = run.root / "notes.md"  # what was particular about this run, written by hand
    return Template(CARD.read_text(encoding="utf-8")).substitute(
        stages,
        scores="\n".join(rows),
        prompts=scores["prompts"],
        seed=run.seed,
        notes=notes.read_text(encoding="utf-8") if notes.exists() else "",
        steps=STEPS,
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Exports the latest weights to any folder.")
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--root", type=Path, default=Path("build/training"))
    options = parser.parse_args()
    export_bundle(Run(options.root, torch.device("cpu")), options.target)
