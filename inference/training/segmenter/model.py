"""The network of the bundled segmenter: transformers' own Sam3Model, small, and its training pass.

`Sam3Model.forward` gives the last decoder layer only and takes one prompt per picture; training
needs every layer and several prompts per picture, so `ask` calls the same parts in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    CLIPTextConfig,
    CLIPTokenizer,
    Sam3Config,
)
from transformers.masking_utils import eager_mask
from transformers.models.sam3.configuration_sam3 import (
    Sam3DETRDecoderConfig,
    Sam3DETREncoderConfig,
    Sam3GeometryEncoderConfig,
    Sam3MaskDecoderConfig,
    Sam3VisionConfig,
    Sam3ViTConfig,
)
from transformers.models.sam3.modeling_sam3 import (
    Sam3Model,
    box_cxcywh_to_xyxy,
    inverse_sigmoid,
)

from inference.training.segmenter.scenes import SIDE_PX

PATCH_PX = 8
WIDTH, LAYERS = 128, 4
FUSION_WIDTH, FUSION_HEADS, FUSION_LAYERS = 64, 2, 2
TEXT_WIDTH, TEXT_LAYERS, TOKENS_MAX = 96, 2, 32
QUERIES = 8
SCALES = (4.0, 2.0, 1.0, 0.5)  # of the patch grid; the last level is in SAM3 but never read
QUERY_DEVIATION = 0.7
PLACE_TURNS, PLACE_DEVIATION = (0.5, 1.0, 2.0, 4.0), 0.2
ATTENTION = "bf16_eager"


@dataclass(frozen=True)
class Features:
    """Pyramid of pictures, fine to coarse (B, width, h, w), and the coarse level's positions."""

    levels: list[Tensor]
    positions: Tensor


@dataclass(frozen=True)
class Answer:
    """What N prompts get, per decoder layer (L) where it is trained.

    boxes (L, N, Q, 4) as corner shares; logits (L, N, Q); presence (L, N); tokens (N, h * w,
    width); masks (M, Q, H, W) and semantic (M, H, W) logits of the prompts that were to be drawn.
    """

    boxes: Tensor
    logits: Tensor
    presence: Tensor
    tokens: Tensor
    masks: Tensor
    semantic: Tensor


def build_segmenter(tokenizer: CLIPTokenizer, scales: Sequence[float] = SCALES) -> Sam3Model:
    """About 2 M parameters; pictures (B, 3, 128, 128) in -1..1, masks 64 x 64.

    Without the first of `scales` the masks are 32 x 32.
    """
    grid = SIDE_PX // PATCH_PX
    backbone = Sam3ViTConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        image_size=SIDE_PX,
        patch_size=PATCH_PX,
        window_size=grid,
        global_attn_indexes=list(range(LAYERS)),
        pretrain_image_size=SIDE_PX,
    )
    vision = Sam3VisionConfig(
        backbone_config=backbone,
        fpn_hidden_size=FUSION_WIDTH,
        scale_factors=list(scales),
        backbone_feature_sizes=[[int(grid * scale)] * 2 for scale in scales[:-1]],
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=4,
        max_position_embeddings=TOKENS_MAX,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    fusion = {"hidden_size": FUSION_WIDTH, "num_attention_heads": FUSION_HEADS, "dropout": 0.0}
    deep = {"num_layers": FUSION_LAYERS, "intermediate_size": 4 * FUSION_WIDTH, **fusion}
    config = Sam3Config(
        vision_config=vision,
        text_config=text,
        geometry_encoder_config=Sam3GeometryEncoderConfig(
            **{**deep, "num_layers": 1, "intermediate_size": FUSION_WIDTH}
        ),
        detr_encoder_config=Sam3DETREncoderConfig(**deep),
        detr_decoder_config=Sam3DETRDecoderConfig(num_queries=QUERIES, **deep),
        mask_decoder_config=Sam3MaskDecoderConfig(num_upsampling_stages=len(scales) - 2, **fusion),
    )
    return Sam3Model(config)


def prepare(model: Sam3Model) -> None:
    """Starts the fusion parts wide: with the library's 0.02 all queries stay copies of each other.

    Queries begin apart and look at places from left to right (`losses.slots_of`).
    """
    parts = (
        model.detr_encoder,
        model.detr_decoder,
        model.mask_decoder,
        model.dot_product_scoring,
        model.text_projection,
    )
    for part in parts:
        for module in part.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
    decoder = model.detr_decoder
    with torch.no_grad():
        decoder.query_embed.weight.normal_(0, QUERY_DEVIATION)
        decoder.presence_token.weight.normal_(0, QUERY_DEVIATION)
        across = torch.linspace(0.15, 0.85, QUERIES)
        box = [across, *(torch.full((QUERIES,), share) for share in (0.65, 0.35, 0.4))]
        decoder.reference_points.weight.copy_(torch.logit(torch.stack(box, -1)))


@torch.no_grad()
def mark_places(model: Sam3Model) -> None:
    """Gives the patches' positions waves along x and y as strong as what the patches show.

    Learned from 0.02 they told rows but not columns, and no cell knew how far to the right it was
    (9 % of the variance explained after 14,400 scenes that asked for it).
    """
    positions = model.vision_encoder.backbone.embeddings.position_embeddings
    side, width = round(positions.shape[1] ** 0.5), positions.shape[2]
    turns = torch.arange(side).add(0.5).div(side)[:, None] * torch.tensor(PLACE_TURNS)
    waves = torch.cat([(turns * 2 * torch.pi).sin(), (turns * 2 * torch.pi).cos()], 1)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    code = torch.cat([rows, columns], -1).flatten(0, 1)
    basis = nn.init.orthogonal_(torch.empty(code.shape[1], width))
    marks = code @ basis
    positions.add_(marks / marks.std() * PLACE_DEVIATION)


@torch.no_grad()
def calm_pyramid(model: Sam3Model, pictures: Tensor) -> None:
    """Scales every trained level to a deviation of 1 on these pictures.

    Dense training leaves deviations near 10; the positions that attention adds are below 1, and
    what a prompt adds to the cells begins near 1: both would be drowned.
    """
    levels = look(model, pictures, fine=False).levels
    for layer, level in zip(model.vision_encoder.neck.fpn_layers[1:-1], levels, strict=True):
        layer.proj2.weight.div_(level.std())
        layer.proj2.bias.div_(level.std())


def open_fine_level(model: Sam3Model) -> None:
    """Lets the finest level start as a copy of the one below with a faint skip connection."""
    pixels = model.mask_decoder.pixel_decoder
    with torch.no_grad():
        nn.init.dirac_(pixels.conv_layers[1].weight)
        pixels.conv_layers[1].bias.zero_()
        pixels.norms[1].bias.fill_(0.5)
        finest = model.vision_encoder.neck.fpn_layers[0]
        finest.proj2.weight.mul_(0.2)
        finest.proj2.bias.zero_()


def without_fine_level(model: Sam3Model, tokenizer: CLIPTokenizer) -> Sam3Model:
    """A copy with 32 x 32 masks, for weights whose finest level is not trained yet."""
    smaller = build_segmenter(tokenizer, SCALES[1:])
    kept = {}
    for name, weight in model.state_dict().items():
        head, mark, tail = name.partition(".fpn_layers.")
        if mark:
            number, _, rest = tail.partition(".")
            if number == "0":
                continue
            name = f"{head}{mark}{int(number) - 1}.{rest}"  # noqa: PLW2901
        kept[name] = weight
    wanted = smaller.state_dict()
    smaller.load_state_dict({name: kept[name] for name in wanted})
    return smaller.eval()


def use_fast_attention(model: Sam3Model) -> None:
    """Scores and softmax in bf16.

    The library's own goes through fp32, and the fused one has a slow backward on CPUs (43 % of a
    step).
    """
    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
    model.set_attn_implementation(ATTENTION)


def look(model: Sam3Model, pictures: Tensor, fine: bool) -> Features:
    """The pyramid of pictures (B, 3, 128, 128); without `fine` its 64 x 64 level is left out."""
    encoder = model.vision_encoder
    hidden = encoder.backbone(pictures).last_hidden_state
    side = int(hidden.shape[1] ** 0.5)
    grid = hidden.view(len(pictures), side, side, -1).permute(0, 3, 1, 2)
    layers = encoder.neck.fpn_layers[0 if fine else 1 : -1]
    levels = [layer(grid) for layer in layers]
    coarse = levels[-1]
    return Features(
        levels, encoder.neck.position_encoding(coarse.shape, coarse.device, coarse.dtype)
    )


def read(model: Sam3Model, ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Text features (U, T, fusion width) of token ids (U, T)."""
    features: Tensor = model.get_text_features(
        input_ids=ids, attention_mask=attention_mask
    ).pooler_output
    return features


def ask(
    model: Sam3Model,
    features: Features,
    text: Tensor,
    text_mask: Tensor,
    drawn_turns: Sequence[int] | None = None,
) -> Answer:
    """Asks each of B pictures K = N / B prompts, text (N, T, width) in order of pictures.

    `drawn_turns` are the turns (0 to K - 1) of each picture whose masks are wanted; None: all.
    """
    turns = len(text) // len(features.levels[0])
    coarse = _repeat(features.levels[-1], turns)
    encoded = model.detr_encoder(
        vision_features=[coarse],
        text_features=text,
        vision_pos_embeds=[features.positions[:1].expand(len(coarse), -1, -1, -1)],
        text_mask=text_mask,
    )
    decoded = model.detr_decoder(
        vision_features=encoded.last_hidden_state,
        text_features=encoded.text_features,
        vision_pos_encoding=encoded.pos_embeds_flattened,
        text_mask=text_mask,
        spatial_shapes=encoded.spatial_shapes,
    )
    hidden = decoded.intermediate_hidden_states
    centred = inverse_sigmoid(decoded.reference_boxes) + model.detr_decoder.box_head(hidden)
    logits = model.dot_product_scoring(
        decoder_hidden_states=hidden, text_features=encoded.text_features, text_mask=text_mask
    )
    chosen = list(range(turns)) if drawn_turns is None else list(drawn_turns)

    def pick(whole: Tensor) -> Tensor:
        """Rows of the chosen turns: (N, ...) to (B * chosen, ...)."""
        return whole.unflatten(0, (-1, turns))[:, chosen].flatten(0, 1)

    drawn = model.mask_decoder(
        decoder_queries=pick(hidden[-1]),
        backbone_features=[_repeat(level, len(chosen)) for level in features.levels],
        encoder_hidden_states=pick(encoded.last_hidden_state),
        prompt_features=pick(text),
        prompt_mask=pick(text_mask),
    )
    return Answer(
        boxes=box_cxcywh_to_xyxy(centred.sigmoid()).float(),
        logits=logits.squeeze(-1).float(),
        presence=decoded.presence_logits.squeeze(-1).float(),
        tokens=encoded.last_hidden_state,
        masks=drawn.pred_masks.float(),
        semantic=drawn.semantic_seg.float()[:, 0],
    )


def _repeat(level: Tensor, times: int) -> Tensor:
    """Each picture's features `times` in a row; expanding has a faster backward than indexing."""
    return level[:, None].expand(-1, times, -1, -1, -1).reshape(-1, *level.shape[1:])


def _attend(
    module: nn.Module,  # noqa: ARG001  (the interface's signature)
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float = 1.0,
    dropout: float = 0.0,  # noqa: ARG001
    **_: object,
) -> tuple[Tensor, None]:
    with torch.autocast(query.device.type, enabled=False):
        scores = (query.to(value.dtype) * scaling) @ key.to(value.dtype).transpose(2, 3)
        if attention_mask is not None:
            scores = scores + attention_mask.to(value.dtype)
        return (scores.softmax(-1) @ value).transpose(1, 2).contiguous(), None
