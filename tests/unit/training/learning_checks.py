"""What the training code does, seen from the environment that has torch.

``python -m tests.unit.training.learning_checks`` runs every check on small things with random
weights and prints their findings as one JSON object; ``test_learning.py`` judges them.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.training.colour_key import keyed
from inference.training.generator import latents
from inference.training.generator.models import build_autoencoder
from inference.training.runs import Checkpoint, Run
from inference.training.segmenter import dense, export, glances, joint, scenes
from inference.training.segmenter.batches import (
    Batch,
    Batches,
    Targets,
    label_shares,
    targets_of,
)
from inference.training.segmenter.instances import (
    BINS,
    InstanceHeads,
    order_loss,
    place_losses,
    two_hot,
)
from inference.training.segmenter.losses import generalised_iou, slots_of
from inference.training.segmenter.measuring import Tally, iou, tally_answer
from inference.training.segmenter.model import (
    FUSION_WIDTH,
    Features,
    ask,
    build_segmenter,
    calm_pyramid,
    look,
    mark_places,
    open_fine_level,
    read,
)
from inference.training.segmenter.processor import Found, Segmenter
from inference.training.segmenter.prompts import PROMPTS
from inference.training.segmenter.questions import LANGUAGES, kin_questions
from inference.training.segmenter.questions import scenes as shown_scenes
from inference.training.world.layouts import Layout, Placed
from inference.training.world.scenes import render
from inference.training.world.shelves import draw_shelf

DENSE_SCENES, JOINT_SCENES = 16, 16


def prepare(run: Run) -> None:
    """A few scenes, and dense stages that have barely begun."""
    scenes.TRAINING = replace(scenes.TRAINING, scenes=48)
    draw_shelf(run.stage(scenes.STAGE), scenes.TRAINING)
    for plan in (dense.DENSE, dense.PLACES):
        dense._train(run, replace(plan, scenes=DENSE_SCENES))


def resuming(run: Run) -> dict[str, Any]:
    """The places and the joint stage in one go, and broken off in the middle."""
    return {
        "places": _broken_off(run, dense, replace(dense.PLACES, scenes=2 * dense.BATCH)),
        "joint": _broken_off(run, joint, replace(joint.JOINT, scenes=JOINT_SCENES)),
    }


def _broken_off(run: Run, module: Any, plan: Any) -> dict[str, Any]:
    names = [f"{plan.stage}-whole", f"{plan.stage}-broken"]
    whole, broken = (replace(plan, stage=name) for name in names)
    module._train(run, whole)
    original = module.learning_rate_share
    module.learning_rate_share = lambda done, *rest: original(done / 2, *rest)
    module._train(run, replace(broken, scenes=plan.scenes // 2))
    module.learning_rate_share = original
    module._train(run, broken)
    ends = [Checkpoint(run.stage(name)).load() or {} for name in names]
    began = Checkpoint(run.stage(plan.before)).load() or {}
    averages = [end.get("average", end["both"]) for end in ends]
    return {
        "difference": _difference(ends[0]["both"], ends[1]["both"]),
        "average_difference": _difference(*averages),
        "learned": _difference(began["both"], ends[0]["both"]),
        "seen": [end["seen"] for end in ends],
    }


def asking(run: Run) -> dict[str, Any]:
    """Our pass against the model's own, and some prompts drawn against all drawn."""
    model = build_segmenter(dense.load_tokenizer(run)).eval()
    batch = Batches(scenes.load_data(run), dense.load_tokenizer(run)).draw(
        np.random.default_rng(0), 2
    )
    with torch.no_grad():
        features = look(model, batch.pictures, fine=True)
        text = read(model, batch.ids, batch.attention)[batch.phrase]
        mask = batch.attention.bool()[batch.phrase]
        answer = ask(model, features, text, mask)
        some = ask(model, features, text, mask, (0, 3))
        stock = model(
            pixel_values=batch.pictures.repeat_interleave(PROMPTS, 0),
            input_ids=batch.ids[batch.phrase],
            attention_mask=batch.attention[batch.phrase],
        )
    picked = answer.masks.unflatten(0, (2, PROMPTS))[:, [0, 3]].flatten(0, 1)
    return {
        "masks": float((answer.masks - stock.pred_masks).abs().max()),
        "logits": float((answer.logits[-1] - stock.pred_logits).abs().max()),
        "boxes": float((answer.boxes[-1] - stock.pred_boxes).abs().max()),
        "some_masks": float((some.masks - picked).abs().max()),
        "mask_side": answer.masks.shape[-1],
    }


def crowding(run: Run) -> dict[str, Any]:
    """How often a scene with three of a kind is drawn, and one without."""
    shelf = scenes.load_data(run)
    plain = Layout((Placed("vase", "red"),), "wooden_table", "brick")
    crowd = replace(plain, objects=plain.objects * 3)
    layouts = [crowd, *[plain] * (len(shelf.layouts) - 1)]
    pool = Batches(replace(shelf, layouts=layouts), dense.load_tokenizer(run))._pool
    turns = np.bincount(pool)
    return {"crowd": int(turns[0]), "plain": sorted({int(t) for t in turns[1:]})}


def placing(run: Run) -> dict[str, Any]:
    """Readers of the instance: what they are asked for, and that each level is taught."""
    batch = Batches(scenes.load_data(run), dense.load_tokenizer(run)).draw(_rng(), 4)
    values = torch.tensor([0.0, 0.31, 0.5, 1.0])
    weights = two_hot(values)
    levels = [torch.randn(4, FUSION_WIDTH, side, side, requires_grad=True) for side in (32, 16)]
    heads = InstanceHeads()
    losses = place_losses(heads, Features(levels, torch.zeros(1)), batch)
    torch.stack(list(losses.values())).sum().backward()
    shares = label_shares(batch.labels, 16)
    of_object = shares[:, 2:].amax(1) > 0.6
    taught = levels[1].grad is not None and levels[1].grad.abs().sum(1) > 0
    return {
        "read_back": (weights @ torch.linspace(0, 1, BINS)).tolist(),
        "values": values.tolist(),
        "sums": weights.sum(-1).tolist(),
        "names": sorted(losses),
        "taught_cells_are_objects": bool((taught == of_object).all()),
        "order": _order_losses(batch),
    }


def _order_losses(batch: Batch) -> list[float]:
    """The loss where every cell tells its slot, and where it tells the next one."""
    targets = targets_of(batch, 16)
    masks = (targets.masks * targets.filled[:, :, None, None]).flatten(2)
    slot = slots_of(targets).gather(1, masks.argmax(1))
    heads = InstanceHeads()
    with torch.no_grad():
        heads.order.weight.copy_(torch.eye(*heads.order.weight.shape) * 4)
        heads.order.bias.zero_()
    told = []
    for shift in (0, 1):
        tokens = torch.zeros(*slot.shape, FUSION_WIDTH)
        wanted = ((slot + shift) % len(heads.order.weight))[..., None]
        tokens.scatter_(2, wanted, 1.0)
        told.append(float(order_loss(heads, tokens, targets)))
    return told


def beginning(run: Run) -> dict[str, Any]:
    """What the joint and the fine stage change before they begin."""
    model = build_segmenter(dense.load_tokenizer(run)).eval()
    batch = Batches(scenes.load_data(run), dense.load_tokenizer(run)).draw(_rng(), 8)
    with torch.no_grad():
        for layer in model.vision_encoder.neck.fpn_layers:
            layer.proj2.bias.normal_()  # nothing at first, yet not after training
        before = look(model, batch.pictures, fine=False).levels
        calm_pyramid(model, batch.pictures)
        after = look(model, batch.pictures, fine=False).levels
    ratios = [a / b.std() - c for a, b, c in zip(before, before, after, strict=True)]
    embeddings = model.vision_encoder.backbone.embeddings
    unmarked = embeddings.position_embeddings.detach().clone()
    mark_places(model)
    marked = embeddings.position_embeddings.detach()
    plan = replace(joint.FINE, scenes=8, stage="opened")
    batches = Batches(scenes.load_data(run), dense.load_tokenizer(run))
    parts = joint.Parts(build_segmenter(dense.load_tokenizer(run)), *_heads())
    open_fine_level(parts.model)
    losses = joint._losses(run, plan, parts, batches.draw(_rng(), 8))
    (losses["dense"] + losses["where"]).backward()
    finest, *others = parts.model.vision_encoder.neck.fpn_layers[:-1]
    return {
        "deviations": [float(level.std()) for level in after],
        "changed_else": max(float(ratio.abs().max()) for ratio in ratios),
        "places_read": _read_places(marked),
        "marks": float((marked - unmarked).std()),
        "finest_taught": finest.proj2.weight.grad is not None,
        "others_taught": all(layer.proj2.weight.grad is not None for layer in others),
        "losses": sorted(losses),
    }


def _read_places(positions: torch.Tensor) -> list[float]:
    """How much of the variance of row and column a linear reading of the positions explains."""
    side = round(positions.shape[1] ** 0.5)
    wanted = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()
    wanted = wanted / wanted.std(0)
    # Few directions, so that noise alone could not tell the cells apart.
    directions = torch.pca_lowrank(positions[0], 16)[0]
    read = directions @ torch.linalg.lstsq(directions, wanted - wanted.mean(0)).solution
    missed: torch.Tensor = read - (wanted - wanted.mean(0))
    return [1 - float(share) for share in missed.square().mean(0)]


def _heads() -> tuple[dense.DenseHeads, InstanceHeads]:
    return dense.DenseHeads(), InstanceHeads()


def measuring(_: Run) -> dict[str, Any]:
    """Answers to prompts that name several: all apart, all in one, one left out."""
    found: dict[str, Any] = {}
    for shown in shown_scenes(glances.KIN):
        for asked in kin_questions(shown):
            truths = [shown.labels == label for label in asked.wanted]
            if len(truths) < 2 or "apart" in found:
                continue
            answers = {
                "apart": truths,
                "in one": [np.any(truths, 0)] * len(truths),
                "one left out": truths[1:],
                "one too many": [*truths, truths[0]],
            }
            for name, masks in answers.items():
                tally = Tally()
                planes = np.array(masks)
                answer = Found(planes, np.ones(len(planes), np.float32), planes.any(0), 1.0)
                tally_answer(asked, answer, shown, tally)
                value, count = tally.mean([f"several {language}" for language in LANGUAGES])
                found[name] = [value, count]
    return found


def glancing(run: Run) -> str:
    """What a look in mid-training says."""
    glances.EVEN, glances.KIN = (replace(p, scenes=4) for p in (glances.EVEN, glances.KIN))
    tokenizer = dense.load_tokenizer(run)
    return glances.glance(Segmenter(build_segmenter(tokenizer).eval(), tokenizer, scenes.SIDE_PX))


def targeting(run: Run) -> dict[str, Any]:
    """Slots from left to right; masks and boxes of what is named."""
    boxes = torch.tensor([[[0.6, 0, 0.8, 1], [0.1, 0, 0.3, 1], [0, 0, 0, 0], [0.4, 0, 0.5, 1]]])
    filled = torch.tensor([[True, True, False, True]])
    slots = slots_of(Targets(torch.zeros(1, 4, 2, 2), boxes, filled))
    batch = Batches(scenes.load_data(run), dense.load_tokenizer(run)).draw(
        np.random.default_rng(1), 4
    )
    targets = targets_of(batch, scenes.SIDE_PX)
    inside = []
    for row, place in zip(*np.nonzero(targets.filled.numpy()), strict=True):
        height, width = np.nonzero(targets.masks[row, place].numpy())
        left, top, right, low = (targets.boxes[row, place] * scenes.SIDE_PX).tolist()
        inside.append(
            left == width.min()
            and right == width.max() + 1
            and top == height.min()
            and low == height.max() + 1
        )
    unit = torch.tensor([0.0, 0.0, 1.0, 1.0])
    return {
        "slots": slots[0].tolist(),
        "boxes_fit": all(inside) and len(inside) > PROMPTS,
        "giou_same": float(generalised_iou(unit, unit)),
        "giou_apart": float(generalised_iou(unit, unit + 2)),
    }


def exporting(run: Run) -> dict[str, Any]:
    """The exported folder, loaded as a user would."""
    found: dict[str, Any] = {}
    for stage, side in (("joint", 32), ("fine", 64)):
        folder = run.root / f"sam3-{stage}"
        joint._train(run, replace(joint.JOINT if stage == "joint" else joint.FINE, scenes=8))
        export.write_bundle(run, folder)
        segmenter = Segmenter.load(folder)
        scene = render(Layout((Placed("vase", "red"),), "white_table", "gray"), _rng(), 160, 96)
        answers = segmenter.find(scene.image, ["red vase", "벽", "wall"])
        found[stage] = {
            "answers": len(answers),
            "semantic": list(answers[0].semantic.shape),
            "mask_side": segmenter._model.config.vision_config.backbone_feature_sizes[0][0],
            "wanted_side": side,
            "files": sorted(path.name for path in folder.iterdir()),
        }
    return found


def centring(_: Run) -> dict[str, Any]:
    """Centring and scaling the latents changes no picture."""
    torch.manual_seed(0)
    vae = build_autoencoder().eval()
    pictures = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
        latents.centre_and_scale(vae, vae.encode(pictures).latent_dist.mode())
        after = vae.encode(pictures).latent_dist.mode()
        restored = vae.decode(after).sample
    return {
        "difference": float((restored - before).abs().max()),
        "mean": float(after.mean((0, 2, 3)).abs().max()),
        "deviation": float((after * vae.config.scaling_factor).std()),
    }


def keying(_: Run) -> dict[str, Any]:
    """The truth by colour against the true mask of a render."""
    layout = Layout((Placed("handbag", "blue"),), "white_table", "gray")
    scene = render(layout, _rng(), 256, 256)
    mask = scene.instances[0].mask
    return {
        "right_colour": iou(keyed(scene.image, "blue"), mask),
        "wrong_colour": iou(keyed(scene.image, "green"), mask),
    }


def _rng() -> np.random.Generator:
    return np.random.default_rng(2)


def _difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name].float() - b[name].float()).abs().max()) for name in a)


CHECKS = (
    resuming,
    asking,
    crowding,
    placing,
    beginning,
    measuring,
    glancing,
    targeting,
    exporting,
    centring,
    keying,
)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), torch.device("cpu"))
        with contextlib.redirect_stdout(sys.stderr):
            prepare(run)
            found = {check.__name__: check(run) for check in CHECKS}
        json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
