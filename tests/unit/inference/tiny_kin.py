"""Beside the tiny model its kin: one made for painting over, ControlNets, adapters, a tiny Flux.

All have the classes of the big ones, random weights and a few thousand parameters; nothing is
downloaded. ``python -m tests.unit.inference.tiny_kin FOLDER`` saves them all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    LCMScheduler,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    DPTConfig,
    DPTForDepthEstimation,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from tests.unit.inference import tiny

RANK = 2
_LAYERS = (
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
    "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "conv_in",
)
_TEXT_LAYER = "encoder.layers.0.self_attn.q_proj"


def spread(module: torch.nn.Module, seed: int) -> None:
    """Gives every weight that begins as zero a random value, so that it has an effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            if not weight.any():
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.05)


def add_controlnets(directory: Path, pipeline: StableDiffusionXLPipeline) -> None:
    """Puts a ControlNet for edges and one for depth beside a model, and a depth model."""
    for seed, kind in enumerate(("canny", "depth")):
        net = ControlNetModel.from_unet(
            pipeline.unet, conditioning_embedding_out_channels=(4, 4, 4, 4)
        )
        spread(net, seed)
        net.save_pretrained(directory / "controlnets" / kind)
    config = DPTConfig(
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=32,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
    )
    torch.manual_seed(5)
    DPTForDepthEstimation(config).save_pretrained(directory / "controlnets/depth/estimator")


def add_loras(directory: Path, pipeline: StableDiffusionXLPipeline) -> None:
    """Puts adapters beside a model: two of diffusers, a part of one as peft and kohya."""
    folder = directory / "loras"
    (folder / "blue").mkdir(parents=True)
    blue, red = _lora(pipeline, 1), _lora(pipeline, 2)
    save_file(
        _named(blue, "{}.lora_A.weight", "{}.lora_B.weight"), folder / "blue" / "a.safetensors"
    )
    save_file(_named(red, "{}.lora.down.weight", "{}.lora.up.weight"), folder / "red.safetensors")
    attention = {place: pair for place, pair in blue.items() if "attentions" in place}
    bare = {place.removeprefix("unet."): pair for place, pair in attention.items()}
    (folder / "peft").mkdir()
    peft = "base_model.model.{}"
    save_file(
        _named(bare, f"{peft}.lora_A.weight", f"{peft}.lora_B.weight"),
        folder / "peft" / "adapter_model.safetensors",
    )
    (folder / "peft" / "adapter_config.json").write_text(f'{{"lora_alpha": {2 * RANK}}}')
    flat = {f"lora_unet_{place.replace('.', '_')}": pair for place, pair in bare.items()}
    alphas = {f"{place}.alpha": torch.tensor(2.0 * RANK) for place in flat}
    words = blue[f"text_encoder.{_TEXT_LAYER}"]
    flat[f"lora_te1_text_model_{_TEXT_LAYER.replace('.', '_')}"] = (words[0], words[1] * 0)
    kohya = _named(flat, "{}.lora_down.weight", "{}.lora_up.weight")
    save_file(kohya | alphas, folder / "kohya.safetensors")
    dora = _named(attention, "{}.lora_A.weight", "{}.lora_B.weight")
    scales = {f"{place}.dora_scale": torch.ones(1) for place in attention}
    save_file(dora | scales, folder / "dora.safetensors")
    (folder / "broken.safetensors").write_bytes(b"no weights")
    wrong = {"unet.conv_in.lora_A.weight": torch.ones(RANK, 3)}
    save_file(
        wrong | {"unet.conv_in.lora_B.weight": torch.ones(5, RANK)}, folder / "wrong.safetensors"
    )


Pair = tuple[torch.Tensor, torch.Tensor]


def _lora(pipeline: StableDiffusionXLPipeline, seed: int) -> dict[str, Pair]:
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Pair] = {}
    for root, layers in (("unet", _LAYERS), ("text_encoder", (_TEXT_LAYER,))):
        for layer in layers:
            weight = getattr(pipeline, root).get_submodule(layer).weight
            rest = (RANK, *[1] * (weight.ndim - 2))
            down = torch.randn((RANK, *weight.shape[1:]), generator=generator) * 0.5
            up = torch.randn((weight.shape[0], *rest), generator=generator) * 0.5
            made[f"{root}.{layer}"] = (down, up)
    return made


def _named(lora: dict[str, Pair], down: str, up: str) -> dict[str, torch.Tensor]:
    downs = {down.format(place): pair[0] for place, pair in lora.items()}
    return downs | {up.format(place): pair[1] for place, pair in lora.items()}


def merged(pipeline: StableDiffusionXLPipeline, weights: dict[int, float]) -> None:
    """Adds the adapters of :func:`add_loras`, by seed, to a pipeline's own weights."""
    for seed, weight in weights.items():
        for place, (down, up) in _lora(pipeline, seed).items():
            root, _, layer = place.partition(".")
            own = getattr(pipeline, root).get_submodule(layer).weight
            delta = up.flatten(1) @ down.flatten(1)
            with torch.no_grad():
                own += weight * delta.view(own.shape)


def build_painting() -> StableDiffusionXLInpaintPipeline:
    """A model whose denoiser sees mask and picture."""
    base = tiny.build()
    config: dict[str, Any] = dict(base.unet.config) | {"in_channels": 9}
    torch.manual_seed(3)
    return StableDiffusionXLInpaintPipeline(
        **base.components | {"unet": UNet2DConditionModel.from_config(config)},
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def build_told_guidance() -> StableDiffusionXLPipeline:
    """A model distilled for few steps that is told its guidance, as LCM is."""
    base = tiny.build()
    config: dict[str, Any] = dict(base.unet.config) | {"time_cond_proj_dim": 8}
    torch.manual_seed(4)
    unet = UNet2DConditionModel.from_config(config)
    scheduler = LCMScheduler.from_config(base.scheduler.config)
    parts = base.components | {"unet": unet, "scheduler": scheduler}
    return StableDiffusionXLPipeline(
        **parts, force_zeros_for_empty_prompt=True, add_watermarker=False
    )


def build_flux(told_guidance: bool = True) -> FluxPipeline:
    """A Flux of two blocks."""
    torch.manual_seed(6)
    words = tiny.tokenizer()
    clip = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=tiny.WIDTH,
        intermediate_size=tiny.WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=tiny.TOKENS,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    t5 = T5Config(
        vocab_size=260, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0
    )
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=tiny.WIDTH,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=told_guidance,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        shift_factor=0.1159,
        scaling_factor=0.3611,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
    return FluxPipeline(
        scheduler,
        vae,
        CLIPTextModel(clip),
        words,
        T5EncoderModel(t5),
        t5_tokenizer(),
        transformer,
    )


def t5_tokenizer() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    vocabulary |= {letter: 3 + number for number, letter in enumerate(letters)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=32,
    )


def save_all(root: Path) -> None:
    """Saves a folder of models: one of everything, and two that cannot be used."""
    base = tiny.build()
    base.save_pretrained(root / "sdxl")
    (root / "sdxl" / "atelier.json").write_text('{"qualities": {"fast": {"steps": 3}}}')
    add_controlnets(root / "sdxl", base)
    add_loras(root / "sdxl", base)
    build_painting().save_pretrained(root / "painting")
    build_flux().save_pretrained(root / "flux")
    (root / "flux" / "atelier.json").write_text('{"qualities": {"best": {"steps": 4}}}')
    poisoned = tiny.build()
    with torch.no_grad():
        poisoned.unet.conv_out.bias.fill_(float("nan"))
    poisoned.save_pretrained(root / "poisoned")
    (root / "broken").mkdir()
    (root / "broken" / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionXLPipeline"}'
    )


if __name__ == "__main__":
    save_all(Path(sys.argv[1]))
