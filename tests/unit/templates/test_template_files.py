"""Template files: the schema that follows from a form, and every fault that refuses a file."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.templates import catalogue
from services.templates.catalogue import InvalidCatalogue
from services.templates.categories.domain import Text
from services.templates.config import BUILT_IN
from services.templates.templates.domain import Choice, Field, FieldType, request_schema
from workflow.specs import Type

LABEL = Text("이름", "Name")
FIELDS = json.loads((BUILT_IN / "fields.json").read_text())
FILE = json.loads((BUILT_IN / "templates" / "general-advert.json").read_text())


def test_a_form_becomes_a_schema() -> None:
    fields = (
        Field("text", FieldType.TEXTAREA, LABEL, required=True, length_max=2000),
        Field("note", FieldType.TEXT, LABEL, hint=Text("힌트", "Hint"), length_max=10),
        Field("aspect", FieldType.CHOICE, LABEL, default="1:1", choices=(Choice("1:1", LABEL),)),
        Field("seed", FieldType.NUMBER, LABEL, min=0, max=9.0, whole=True),
        Field("scale", FieldType.NUMBER, LABEL, default=7.5, min=0.5),
        Field("loud", FieldType.BOOLEAN, LABEL, default=False),
    )
    text = {"type": "string", "title": "Name", "pattern": "^[^\\u0000]*$"}
    assert request_schema(fields) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "text": {**text, "minLength": 1, "maxLength": 2000},
            "note": {**text, "maxLength": 10, "description": "Hint"},
            "aspect": {"type": "string", "enum": ["1:1"], "title": "Name", "default": "1:1"},
            "seed": {"type": "integer", "minimum": 0, "maximum": 9, "title": "Name"},
            "scale": {"type": "number", "minimum": 0.5, "title": "Name", "default": 7.5},
            "loud": {"type": "boolean", "title": "Name", "default": False},
        },
        "required": ["text"],
        "additionalProperties": False,
    }


def test_a_field_travels_in_graphs_as_what_it_is() -> None:
    kinds = {
        Field("a", FieldType.TEXTAREA, LABEL).travels_as: Type.TEXT,
        Field("b", FieldType.CHOICE, LABEL).travels_as: Type.TEXT,
        Field("c", FieldType.NUMBER, LABEL, whole=True).travels_as: Type.INTEGER,
        Field("d", FieldType.NUMBER, LABEL).travels_as: Type.NUMBER,
        Field("e", FieldType.BOOLEAN, LABEL).travels_as: Type.BOOLEAN,
    }
    assert all(given is expected for given, expected in kinds.items())


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(FILE), **changes}


def rewired(node: str, port: str, value: Any) -> dict[str, Any]:
    raw = changed()
    raw["graph"]["nodes"][node]["inputs"][port] = value
    return raw


FIELD = {"id": "extra", "type": "text", "label": {"ko": "ㄱ", "en": "a"}, "length_max": 9}
OUTPUT = {"by_default": True, "per_variation": True, "unit_credits": 1}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (changed(id="General Advert"), "id: must be lower-case words"),
        (changed(version=0), "version: must be 1 or greater"),
        (changed(variations_max=9), "variations_max: must be 1 to 8"),
        (changed(order="first"), "order must be a whole number"),
        (changed(active=1), "active true or false"),
        (changed(outputs=[]), "outputs: at least one"),
        (changed(outputs=[OUTPUT | {"work_type": "song"}]), "outputs[0].work_type: must be one of"),
        (
            changed(outputs=[OUTPUT | {"work_type": "short_video"}]),
            "graph.outputs: must be the work types",
        ),
        (changed(outputs=[FILE["outputs"][0]] * 2), "outputs[1].work_type: is there twice"),
        (
            changed(outputs=[OUTPUT | {"work_type": "promotional_image", "unit_credits": -1}]),
            "outputs[0].unit_credits: must be 0 to",
        ),
        (changed(form_fields=[{"use": "colour"}]), "fields.json has no 'colour'"),
        (changed(form_fields=[{"use": "text"}]), "$inputs.aspect does not exist"),
        (
            changed(form_fields=[*FILE["form_fields"], FIELD | {"id": "two words"}]),
            "form_fields[6].id: must be a plain word",
        ),
        (
            changed(form_fields=[*FILE["form_fields"], {"use": "text"}]),
            "form_fields[6].id: is there twice",
        ),
        (
            changed(form_fields=[*FILE["form_fields"], FIELD | {"length_max": 2001}]),
            "form_fields[6].length_max: must be 1 to 2,000",
        ),
        (
            changed(form_fields=[*FILE["form_fields"], FIELD | {"type": "choice"}]),
            "form_fields[6].choices: belong to a choice",
        ),
        (
            changed(form_fields=[*FILE["form_fields"], FIELD | {"default": "longer than 9"}]),
            "form_fields[6].default: does not fit",
        ),
        (
            changed(form_fields=[*FILE["form_fields"], FIELD | {"required": True, "default": "a"}]),
            "form_fields[6].default: a required field has none",
        ),
        (rewired("draw", "seed", "$inputs.seed"), "reads seed, which must then be required"),
        (rewired("draw", "aspect", "$inputs.tone"), "tone offers more"),
        (rewired("draw", "aspect", "$inputs.text"), "text must be a choice of them"),
        (rewired("jpeg", "image", "$copy.copy"), "graph.nodes.jpeg.inputs.image: takes image"),
    ],
)
def test_a_fault_in_a_file_is_named_with_its_place(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidCatalogue) as refused:
        catalogue.shelve(raw, FIELDS)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "raw",
    [changed(price=3), changed(version="1"), changed(form_fields="text"), changed(title="Advert")],
)
def test_a_file_of_another_shape_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        catalogue.shelve(raw, FIELDS)


def test_order_and_active_may_change_under_a_version_and_nothing_else_may() -> None:
    kept = catalogue.shelve(FILE, FIELDS).content_hash
    assert catalogue.shelve(changed(order=99, active=False), FIELDS).content_hash == kept
    assert catalogue.shelve(dict(reversed(FILE.items())), FIELDS).content_hash == kept
    assert catalogue.shelve(changed(variations_max=4), FIELDS).content_hash != kept
    shared = copy.deepcopy(FIELDS)
    shared["aspect"]["choices"].pop()
    assert catalogue.shelve(FILE, shared).content_hash != kept


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUILT_IN, tmp_path / "data"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_every_fault_of_every_file_is_named_at_once(files: Path) -> None:
    edit(files / "categories" / "eats.json", workers_max=0, prompt_style="$x")
    edit(files / "templates" / "eats-advert.json", version="two")
    edit(files / "templates" / "beauty-product.json", id="beauty")
    (files / "templates" / "broken.json").write_text("{")
    with pytest.raises(InvalidCatalogue) as refused:
        catalogue.read(files)
    assert len(refused.value.faults) == 5
    assert "categories/eats.json: workers_max: must be 1 to 1,000" in refused.value.faults
    assert "templates/eats-advert.json: version: Input should be a valid integer" in str(
        refused.value
    )


def test_files_must_agree_with_each_other(files: Path) -> None:
    edit(files / "templates" / "eats-advert.json", active=False)
    edit(files / "templates" / "general-picture.json", category="nowhere")
    with pytest.raises(InvalidCatalogue) as refused:
        catalogue.read(files)
    assert refused.value.faults == [
        "templates/general-picture.json: category: there is no nowhere",
        "categories/eats.json: default_template: there is no active template eats-advert",
    ]


def test_general_must_be_there(files: Path) -> None:
    (files / "categories" / "general.json").unlink()
    with pytest.raises(InvalidCatalogue, match="general is missing"):
        catalogue.read(files)
