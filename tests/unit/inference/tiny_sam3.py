"""A segmenter that Sam3's own classes load, with random weights: 64 px and below a megabyte.

``python -m tests.unit.inference.tiny_sam3 FOLDER`` saves it; needs the environment of the models.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import CLIPTextConfig, Sam3Config, Sam3Model
from transformers.models.sam3.configuration_sam3 import (
    Sam3DETRDecoderConfig,
    Sam3DETREncoderConfig,
    Sam3GeometryEncoderConfig,
    Sam3MaskDecoderConfig,
    Sam3VisionConfig,
    Sam3ViTConfig,
)

from tests.unit.inference.tiny import TOKENS, tokenizer

SIDE_PX, PATCH_PX, WIDTH, QUERIES = 64, 8, 32, 4


def config() -> Sam3Config:
    grid = SIDE_PX // PATCH_PX
    backbone = Sam3ViTConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=SIDE_PX,
        patch_size=PATCH_PX,
        window_size=grid,
        global_attn_indexes=[0],
        pretrain_image_size=SIDE_PX,
    )
    vision = Sam3VisionConfig(
        backbone_config=backbone,
        fpn_hidden_size=WIDTH,
        scale_factors=[2.0, 1.0, 0.5],
        backbone_feature_sizes=[[2 * grid] * 2, [grid] * 2],
    )
    words = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    shape = {"hidden_size": WIDTH, "num_attention_heads": 2, "dropout": 0.0}
    deep = {"num_layers": 1, "intermediate_size": WIDTH, **shape}
    return Sam3Config(
        vision_config=vision,
        text_config=text,
        geometry_encoder_config=Sam3GeometryEncoderConfig(**deep),
        detr_encoder_config=Sam3DETREncoderConfig(**deep),
        detr_decoder_config=Sam3DETRDecoderConfig(num_queries=QUERIES, **deep),
        mask_decoder_config=Sam3MaskDecoderConfig(num_upsampling_stages=1, **shape),
    )


def build() -> Sam3Model:
    """Random, but wide enough that pictures and words tell in the masks."""
    torch.manual_seed(0)
    model = Sam3Model(config())
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


def save(folder: Path) -> None:
    """As training saves one; a score of almost nothing counts, for nothing was learned."""
    build().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    size = {"height": SIDE_PX, "width": SIDE_PX}
    said = {"image_processor_type": "Sam3ImageProcessor", "size": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    (folder / "atelier.json").write_text(json.dumps({"score_min": 0.01}))


if __name__ == "__main__":
    save(Path(sys.argv[1]))
