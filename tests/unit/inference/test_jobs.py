"""What serverless jobs say: read as it is meant, or refused by the field that is at fault."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.adapters.jobs import masks, pictures, rules
from inference.adapters.jobs.said import Said
from inference.engine.errors import Canceled, InvalidRequest
from inference.engine.pictures.masks import Box, Mask, Runs, to_rle
from inference.engine.segmentation.request import Found, Instance, Segmentation

SIDE = 12
HALF = np.zeros((SIDE, SIDE), bool)
HALF[:, :6] = True


def file(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


PHOTO = file(np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
RULE = {
    "concepts": [{"concept": "wall", "change": "replace", "colour": "#ff0000", "feather_px": 0}],
    "protect": ["mug"],
}


def field(read: Callable[[Said], Any], said: Said) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read(said)
    return refused.value.field


def test_a_picture_is_asked_for_by_the_fields_of_its_request() -> None:
    asked = pictures.request(
        {
            "prompt": "a mug",
            "steps": 3,
            "guidance_scale": 7,
            "image": PHOTO,
            "mask": file(np.uint8(HALF * 255)),
            "controls": [{"kind": "canny", "image": PHOTO, "scale": 1}],
            "loras": [{"name": "blue", "weight": -1}],
        }
    )
    assert (asked.prompt, asked.steps, asked.guidance_scale) == ("a mug", 3, 7.0)
    assert asked.image
    assert asked.mask
    assert (asked.image.bands, asked.mask.bands, asked.controls[0].image.width) == (3, 1, SIDE)
    assert (asked.loras[0].name, asked.loras[0].weight) == ("blue", -1.0)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"steps": 2.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"seed": 1.5}, "seed"),
        ({"prompt": 8}, "prompt"),
        ({"previews": 1}, "previews"),
        ({"timeout_seconds": 10**400}, "timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"guidance_scale": "7"}, "guidance_scale"),
        ({"image": "é"}, "image"),
        ({"image": "no base64"}, "image"),
        ({"image": base64.b64encode(b"no picture").decode()}, "image"),
        ({"image": 5}, "image"),
        ({"colour": "red"}, "input"),
        ({"controls": {}}, "controls"),
        ({"controls": [5]}, "controls"),
        ({"controls": [{"kind": "canny"}]}, "controls.image"),
        ({"controls": [{"kind": "canny", "image": PHOTO, "scale": "1"}]}, "controls.scale"),
        ({"loras": [{"name": 5}]}, "loras.name"),
        ({"loras": ["blue"]}, "loras"),
    ],
)
def test_what_is_no_picture_that_could_be_drawn_names_its_field(said: Said, name: str) -> None:
    assert field(pictures.request, {"prompt": "a mug"} | dict(said)) == name


def test_without_words_there_is_no_picture() -> None:
    assert field(pictures.request, {}) == "prompt"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"concepts": "wall"}, "concepts"),
        ({"concepts": []}, "concepts"),
        ({"concepts": ["wall", 5]}, "concepts[1]"),
        ({"image": ""}, "image"),
        ({"score_min": "high"}, "score_min"),
        ({"picture": PHOTO}, "input"),
    ],
)
def test_what_could_not_be_found_names_its_field(said: Said, name: str) -> None:
    assert field(masks.request, {"image": PHOTO, "concepts": ["wall"]} | dict(said)) == name


def test_what_was_found_is_told_with_its_runs() -> None:
    asked = masks.request({"image": PHOTO, "concepts": ["wall", "벽"], "score_min": 0})
    assert (asked.concepts, asked.score_min) == (("wall", "벽"), 0.0)
    runs = Runs.of(Mask.of(HALF))
    found = Found("wall", "wall", 0.5, runs, (Instance(runs, 0.25),), 3)
    said = masks.output(Segmentation("sam3", SIDE, SIDE, (found,), False, 1.0))
    (concept,) = json.loads(json.dumps(said))["segmentation"]["concepts"]
    assert concept["union"] == {"rle": runs.rle, "area": 72, "box": Box(0, 0, 6, 12)._asdict()}
    assert concept["instances"][0]["score"] == 0.25
    assert concept["left_out"] == 3


def apply(**more: Any) -> Any:
    said = {
        "image": PHOTO,
        "rule": RULE,
        "masks": {
            "wall": [{"rle": to_rle(Mask.of(np.ones((SIDE, SIDE), bool)))}],
            "mug": [{"png": file(np.uint8(HALF * 255))}],
        },
    }
    return rules.work(said | more)(lambda: False)


def test_a_rule_is_applied_and_its_proof_told() -> None:
    said = json.loads(json.dumps(rules.output(apply(jpeg_quality=80))))["result"]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(said["png"]))))
    assert (drawn[~HALF] == (255, 0, 0)).all()
    before = np.asarray(Image.open(io.BytesIO(base64.b64decode(PHOTO))))
    assert np.array_equal(drawn[HALF], before[HALF])
    assert said["proof"]["protected_pixels"] == 72
    assert said["proof"]["changed_pixels"] == 0
    assert said["proof"]["largest_delta_e"]["png"] == 0
    assert base64.b64decode(said["jpeg"]["file"]).startswith(b"\xff\xd8")
    assert said["changed_pixels"] == [72]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"rule": None}, "rule"),
        (
            {"rule": {"concepts": [{"concept": "wall", "change": "tint"}]}},
            "rule.concepts[0].change",
        ),
        ({"masks": {}}, "masks"),
        ({"masks": []}, "masks"),
        ({"masks": {"wall": [{"rle": "zzz"}], "mug": []}}, "masks"),
        ({"masks": {"wall": [{}], "mug": []}}, "masks.wall[0].png"),
        ({"masks": {"wall": [{"rle": "1"}] * 257}}, "masks"),
        ({"images": {"tile": 5}}, "images.tile"),
        ({"image": base64.b64encode(b"no picture").decode()}, "image"),
        ({"jpeg_quality": 96}, "jpeg_quality"),
        ({"jpeg_quality": 80.5}, "jpeg_quality"),
        ({"result_key": "tmp/a.png"}, "input"),
    ],
)
def test_what_a_rule_lacks_names_its_field(more: dict[str, Any], name: str) -> None:
    assert field(lambda said: apply(**said), more) == name


def test_a_rule_that_nobody_waits_for_is_not_finished() -> None:
    work = rules.work({"image": PHOTO, "rule": RULE, "masks": {"wall": [], "mug": []}})
    with pytest.raises(Canceled):
        work(lambda: True)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "kind", "image", "rle"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(
        [
            (pictures.request, pictures.FIELDS),
            (masks.request, masks.FIELDS),
            (rules.work, rules.FIELDS),
        ]
    ),
    st.data(),
)
def test_whatever_is_said_it_is_a_request_or_a_refusal(
    kind: tuple[Callable[[Said], Any], frozenset[str]], data: st.DataObject
) -> None:
    read, fields = kind
    names = st.sampled_from(sorted(fields))
    said = {"prompt": "a mug", "concepts": ["wall"], "image": PHOTO, "rule": RULE}
    said = {name: value for name, value in said.items() if name in fields}
    said |= data.draw(st.dictionaries(names, _ANYTHING, max_size=4))
    try:
        read(said)
    except InvalidRequest as error:
        blamed = error.field
    else:
        blamed = "nothing"
    assert blamed
