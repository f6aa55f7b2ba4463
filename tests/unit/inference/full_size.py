"""SDXL, ControlNet and Flux at their real sizes with random weights: built, saved, loaded, run.

``python -m tests.unit.inference.full_size`` needs a card with 80 GB and as much on disk, and prints
one JSON object. The configurations are the published ones; how many parameters they give is counted
without weights, which needs neither.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from inference.engine.device import default_device
from inference.engine.material import Control
from inference.engine.sampling.engine import Engine
from inference.engine.sampling.registry import Registry, bytes_max, loader
from tests.unit.inference import material_checks, tiny, tiny_kin
from tests.unit.inference.engine_bench import Bench, Heard, now, request

TOKENS = 77  # of a prompt, as the published tokenizers pad and cut them
PROMPT = (
    "a product photo of a red mug on a wooden table by a window, "
    "in the soft light of an early morning, sharp"
)


def words() -> CLIPTokenizer:
    """Bytes for words; a prompt is as long as with the published vocabulary."""
    return tiny.tokenizer(TOKENS)


def _clip(wide: bool) -> CLIPTextConfig:
    marks = words()
    return CLIPTextConfig(
        vocab_size=49_408,
        hidden_size=1_280 if wide else 768,
        intermediate_size=5_120 if wide else 3_072,
        num_hidden_layers=32 if wide else 12,
        num_attention_heads=20 if wide else 12,
        hidden_act="gelu" if wide else "quick_gelu",
        max_position_embeddings=TOKENS,
        projection_dim=1_280 if wide else 768,
        bos_token_id=marks.bos_token_id,
        eos_token_id=marks.eos_token_id,
        pad_token_id=marks.pad_token_id,
    )


def _vae(**more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=1_024,
        **more,
    )


def unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1_280),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        cross_attention_dim=2_048,
        attention_head_dim=(5, 10, 20),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2_816,
    )


def transformer() -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=19,
        num_single_layers=38,
        attention_head_dim=128,
        num_attention_heads=24,
        joint_attention_dim=4_096,
        pooled_projection_dim=768,
        guidance_embeds=True,
    )


def sdxl() -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline(
        _vae(latent_channels=4, scaling_factor=0.13025),
        CLIPTextModel(_clip(wide=False)),
        CLIPTextModelWithProjection(_clip(wide=True)),
        words(),
        words(),
        unet(),
        EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )


def flux() -> FluxPipeline:
    vae = _vae(
        latent_channels=16,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    t5 = T5Config(
        vocab_size=32_128,
        d_model=4_096,
        d_kv=64,
        d_ff=10_240,
        num_layers=24,
        num_heads=64,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
    )
    return FluxPipeline(
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        vae,
        CLIPTextModel(_clip(wide=False)),
        words(),
        T5EncoderModel(t5),
        tiny_kin.t5_tokenizer(),
        transformer(),
    )


def full_size(_: Bench) -> dict[str, float]:
    """Millions of parameters of every part; tokens of a long prompt and of a short one."""
    with torch.device("meta"):
        net = unet()
        parts = {
            "unet": net,
            "controlnet": ControlNetModel.from_unet(net),
            "text_encoder": CLIPTextModel(_clip(wide=False)),
            "text_encoder_2": CLIPTextModelWithProjection(_clip(wide=True)),
            "vae": _vae(latent_channels=4),
            "transformer": transformer(),
        }
    sizes = {
        name: round(sum(part.numel() for part in module.parameters()) / 1e6, 1)
        for name, module in parts.items()
    }
    read = words()
    cut, padded = read(PROMPT, truncation=True), read("a mug", padding="max_length")
    return sizes | {"long_prompt": len(cut.input_ids), "short_prompt": len(padded.input_ids)}


@contextmanager
def _made_in(dtype: torch.dtype) -> Iterator[None]:
    """Makes weights on the card where there is one, the same every time."""
    with default_device():
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        yield
        torch.set_default_dtype(torch.float32)


def save_sdxl(folder: Path, *, follows_edges: bool = False) -> None:
    """Saves SDXL in half precision, with a ControlNet for edges if wanted."""
    with _made_in(torch.float16):
        whole = sdxl()
        whole.save_pretrained(folder)
        if follows_edges:
            net = ControlNetModel.from_unet(whole.unet)
            net.save_pretrained(folder / "controlnets" / "canny")


def save_flux(folder: Path) -> None:
    """Saves Flux in the precision that it is run in."""
    with _made_in(torch.bfloat16):
        flux().save_pretrained(folder)


def save(root: Path) -> None:
    """Saves SDXL and Flux."""
    save_sdxl(root / "sdxl", follows_edges=True)
    save_flux(root / "flux")


def run(root: Path) -> dict[str, Any]:
    """Draws with both through the loop: words, a drawing, a picture to begin from."""
    device = default_device()
    registry = Registry(root, "sdxl", loader(device), bytes_max(device), background=now)
    engine = Engine(registry)
    asked = [
        {"model": "sdxl", "steps": 4},
        {"model": "sdxl", "steps": 4, "controls": (Control("canny", material_checks.picture()),)},
        {"model": "sdxl", "steps": 4, "image": material_checks.picture(), "strength": 0.5},
        {"model": "flux", "steps": 4},
    ]
    found: dict[str, Any] = {"ends": []}
    for one in asked:
        heard, began = Heard(), time.perf_counter()
        engine.submit(request(prompt=PROMPT, **one), heard)
        while engine.step():
            pass
        shape = list(heard.picture.pixels.shape) if heard.picture else str(heard.error)
        found["ends"].append([heard.outcome, shape, round(time.perf_counter() - began, 2)])
    statuses = engine.statuses()
    return found | {"bytes": {name: one.size_bytes for name, one in statuses.items()}}


CHECKS = (full_size,)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        json.dump(run(Path(folder)), sys.stdout)


if __name__ == "__main__":
    main()
