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
from inference.training.segmenter import dense, export, joint, scenes
from inference.training.segmenter.batches import Batches, Targets, targets_of
from inference.training.segmenter.evaluation import iou
from inference.training.segmenter.losses import generalised_iou, slots_of
from inference.training.segmenter.model import ask, build_segmenter, look, read
from inference.training.segmenter.processor import Segmenter
from inference.training.segmenter.prompts import PROMPTS
from inference.training.world.layouts import Layout, Placed
from inference.training.world.scenes import render
from inference.training.world.shelves import draw_shelf

DENSE_SCENES, JOINT_SCENES = 16, 16


def prepare(run: Run) -> None:
    """A few scenes and a dense stage that has barely begun."""
    scenes.TRAINING = replace(scenes.TRAINING, scenes=48)
    draw_shelf(run.stage(scenes.STAGE), scenes.TRAINING)
    dense.SCENES = DENSE_SCENES
    dense.train_dense(run)


def resuming(run: Run) -> dict[str, Any]:
    """The joint stage in one go, and broken off in the middle."""
    plan = replace(joint.JOINT, scenes=JOINT_SCENES)
    whole, broken = replace(plan, stage="whole"), replace(plan, stage="broken")
    joint._train(run, whole)
    original = joint.learning_rate_share
    joint.learning_rate_share = lambda done, *rest: original(done / 2, *rest)
    joint._train(run, replace(broken, scenes=JOINT_SCENES // 2))
    joint.learning_rate_share = original
    joint._train(run, broken)
    ends = [Checkpoint(run.stage(stage)).load() for stage in ("whole", "broken")]
    assert ends[0] is not None
    assert ends[1] is not None
    began = Checkpoint(run.stage(dense.STAGE)).load()
    assert began is not None
    return {
        "difference": _difference(ends[0]["both"], ends[1]["both"]),
        "average_difference": _difference(ends[0]["average"], ends[1]["average"]),
        "learned": _difference(ends[0]["both"], began["both"]),
        "seen": [end["seen"] for end in ends if end],
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
        export.export_bundle(run, folder)
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


CHECKS = (resuming, asking, targeting, exporting, centring, keying)


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
