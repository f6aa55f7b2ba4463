"""The templates that are shipped: each works with nothing but a text."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import Draft202012Validator

from services.templates import catalogue
from services.templates.config import BUILT_IN
from services.templates.templates import messages
from services.templates.templates.domain import (
    CATEGORY_STYLE,
    Template,
    request_schema,
    with_style,
)
from services.templates.templates.submission import Version, check
from workflow.graph import Literal, parse

SHIPPED = catalogue.read(BUILT_IN)
EVERY = pytest.mark.parametrize(
    "template", [one.template for one in SHIPPED.templates], ids=lambda template: template.id
)


def test_six_categories_are_shipped_with_their_limits() -> None:
    limits = {category.id: category.workers_max for category in SHIPPED.categories}
    assert limits == {
        "general": 5,
        "fashion": 5,
        "beauty": 3,
        "eats": 3,
        "cinema": 3,
        "cartoon": 3,
    }
    assert all(category.enabled for category in SHIPPED.categories)


def test_the_default_of_a_category_is_of_that_category() -> None:
    path = {one.template.id: one.template.category for one in SHIPPED.templates}
    for category in SHIPPED.categories:
        assert path[category.default_template] == category.id


@EVERY
def test_a_text_is_all_that_it_needs(template: Template) -> None:
    version = Version.of(template, request_schema(template.form_fields))
    inputs, items = check(version, {"text": "따뜻한 겨울 신메뉴"}, [], 0)
    assert not list(version.validator.iter_errors(inputs))
    makes = "marketing_copy" if template.id == "general-chat" else "promotional_image"
    assert makes in [item.work_type for item in items]
    graph = parse(with_style(template.graph, "warm light"), template.form)
    for item in items:
        hashes = graph.content_hashes(item.work_type, inputs, {"seed": 1, "variation": 1})
        assert hashes


@EVERY
def test_its_schema_is_a_schema_and_its_message_is_complete(template: Template) -> None:
    schema = request_schema(template.form_fields)
    Draft202012Validator.check_schema(schema)
    message = messages.template(Version.of(template, schema))
    assert {field.id for field in message.form_fields} == set(schema["properties"])
    assert all(output.estimated_seconds >= 1 for output in message.outputs)
    for text in (message.title, message.description, *(f.label for f in message.form_fields)):
        assert re.search("[가-힣]", text.ko)
        assert text.en


@EVERY
def test_its_prompts_are_in_the_style_of_the_category(template: Template) -> None:
    graph = with_style(template.graph, "warm light")
    assert CATEGORY_STYLE not in json.dumps(graph)
    styles = [
        node.inputs["style"]
        for node in parse(graph, template.form).nodes.values()
        if node.spec.name == "prompt"
    ]
    assert styles or template.id == "general-chat"
    for style in styles:
        assert isinstance(style, Literal)
        assert style.value.startswith("warm light")


def test_a_picture_costs_ten_and_copy_two_and_copy_is_made_once() -> None:
    [advert] = [one.template for one in SHIPPED.templates if one.template.id == "general-advert"]
    version = Version.of(advert, request_schema(advert.form_fields))
    _, items = check(version, {"text": "x"}, [], 4)
    assert [(item.work_type, item.variation, item.credits, item.pool) for item in items] == [
        ("promotional_image", 1, 10, "gpu"),
        ("promotional_image", 2, 10, "gpu"),
        ("promotional_image", 3, 10, "gpu"),
        ("promotional_image", 4, 10, "gpu"),
        ("marketing_copy", 1, 2, "text"),
    ]
