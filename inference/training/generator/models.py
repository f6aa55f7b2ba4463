"""The networks of the bundled model: SDXL's own classes, small. Factor 8, 4 channels."""

from __future__ import annotations

from typing import Any

from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

TOKENS_MAX = 64
TEXT_WIDTH = 128
TIME_ID_WIDTH = 32
VAE_WIDTHS = (16, 16, 48, 96)
UNET_WIDTHS = (64, 96, 128, 160)
LATENT_CHANNELS = 4
CELL_PX = 2 ** (len(VAE_WIDTHS) - 1)
LATENT_SIDE = 256 // CELL_PX
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def build_autoencoder() -> AutoencoderKL:
    """About 1.4 M parameters; pictures (B, 3, 8h, 8w) in -1..1 to latents (B, 4, h, w)."""
    levels = len(VAE_WIDTHS)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=VAE_WIDTHS,
        latent_channels=LATENT_CHANNELS,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=8 * LATENT_SIDE,
        mid_block_add_attention=False,
    )


def build_text_encoders(
    tokenizer: CLIPTokenizer,
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Two encoders of about 0.5 M parameters. An EOS id of 2 would select legacy pooling."""
    if tokenizer.eos_token_id == 2:
        raise ValueError("the EOS token must not have id 2")
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TOKENS_MAX,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=TEXT_WIDTH,
    )
    return CLIPTextModel(config), CLIPTextModelWithProjection(config)


def build_unet() -> UNet2DConditionModel:
    """About 11 M parameters; attention on the three lower levels, FiLM on the time embedding.

    The upper levels are as wide as they can be afforded: thin ones leave blots (see the README).
    """
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=UNET_WIDTHS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
        up_block_types=(*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
        cross_attention_dim=2 * TEXT_WIDTH,
        attention_head_dim=tuple(max(1, width // 32) for width in UNET_WIDTHS),
        transformer_layers_per_block=1,
        use_linear_projection=True,
        norm_num_groups=8,
        resnet_time_scale_shift="scale_shift",
        time_embedding_dim=256,  # else four times the first width, which is too narrow
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=6 * TIME_ID_WIDTH + TEXT_WIDTH,
    )


def build_pipeline(
    tokenizer: CLIPTokenizer,
    encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection],
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
) -> StableDiffusionXLPipeline:
    """The whole model as diffusers' own pipeline."""
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULE),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
