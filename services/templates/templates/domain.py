"""Templates: what they state, and what follows from their form."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kit.errors import DomainError
from services.templates.categories.domain import STRICT, Text
from workflow.specs import Type

VARIATIONS_MAX = 8
ITEMS_MAX = 50
TEXT_LENGTH_MAX = 2_000
MESSAGES_MAX = 50
MESSAGE_LENGTH_MAX = 8_000
TEXTS_MAX = 4
ROLES = ("system", "user", "assistant")
WHOLE_BELOW = 2**53
# Stands in a graph for the style of the category that a submission is made in. To the language of
# graphs it is a literal text ($$ is an escaped $), so that the graph is valid as it is.
CATEGORY_STYLE = "$$category.style"
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

Scalar = str | int | float | bool


class UnknownTemplate(DomainError):
    """The template does not exist, or is not active for this caller."""

    reason = "UNKNOWN_TEMPLATE"


class FieldType(enum.StrEnum):
    """How a field is filled in."""

    TEXT = "text"
    TEXTAREA = "textarea"
    CHOICE = "choice"
    NUMBER = "number"
    BOOLEAN = "boolean"
    MESSAGES = "messages"  # a conversation: [{"role", "content"}, …]
    TEXTS = "texts"  # a few short texts


@dataclass(frozen=True)
class Choice:
    """One value that may be chosen."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    value: str
    label: Text


@dataclass(frozen=True)
class Field:
    """One input of a form.

    Attributes:
        id: The key in the inputs.
        type: How it is filled in.
        label: What to call it.
        hint: Help for a person.
        required: Whether it must be given.
        default: What is used when it is not given; of a list an empty one.
        choices: The values of a choice.
        min: The least number.
        max: The greatest number.
        whole: Whether a number has no fraction.
        length_max: The longest text in characters; of a list the longest of each.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    id: str
    type: FieldType
    label: Text
    hint: Text | None = None
    required: bool = False
    default: Scalar | list[str] | None = None
    choices: tuple[Choice, ...] = ()
    min: float | None = None
    max: float | None = None
    whole: bool = False
    length_max: int = 0

    @property
    def is_text(self) -> bool:
        """Whether a person writes it freely."""
        return self.type in (FieldType.TEXT, FieldType.TEXTAREA)

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return self.type in (FieldType.MESSAGES, FieldType.TEXTS)

    @property
    def travels_as(self) -> Type:
        """Its type in workflow graphs."""
        if self.type is FieldType.NUMBER:
            return Type.INTEGER if self.whole else Type.NUMBER
        if self.is_list:
            return Type.JSON
        return Type.BOOLEAN if self.type is FieldType.BOOLEAN else Type.TEXT


@dataclass(frozen=True)
class Output:
    """One kind of work that a template makes.

    Attributes:
        work_type: The type, which is also the graph's output.
        unit_credits: Its price, for each variation.
        by_default: Whether it is made when a submission names no outputs.
        per_variation: Whether variations multiply it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    work_type: str
    unit_credits: int
    by_default: bool
    per_variation: bool


@dataclass(frozen=True)
class Template:
    """One version of a template. It never changes, for jobs keep no more than its number."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    id: str
    version: int
    title: Text
    description: Text
    category: str
    variations_max: int
    outputs: tuple[Output, ...]
    form_fields: tuple[Field, ...]
    graph: dict[str, Any]

    @property
    def form(self) -> dict[str, Type]:
        """The fields with their types in workflow graphs."""
        return {field.id: field.travels_as for field in self.form_fields}


def request_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of the inputs of a form."""
    return {
        "$schema": SCHEMA_DIALECT,
        "type": "object",
        "properties": {field.id: dict(_property(field)) for field in fields},
        "required": [field.id for field in fields if field.required],
        "additionalProperties": False,
    }


def _property(field: Field) -> Iterator[tuple[str, Any]]:
    yield from _rules(field)
    yield "title", field.label.en
    if field.hint is not None:
        yield "description", field.hint.en
    if field.default is not None:
        yield "default", field.default


def _rules(field: Field) -> Iterator[tuple[str, Any]]:
    if field.type is FieldType.BOOLEAN:
        yield "type", "boolean"
    elif field.type is FieldType.CHOICE:
        yield "type", "string"
        yield "enum", [choice.value for choice in field.choices]
    elif field.type is FieldType.NUMBER:
        yield "type", "integer" if field.whole else "number"
        for keyword, bound in (("minimum", field.min), ("maximum", field.max)):
            if bound is not None:
                yield keyword, whole(bound)
    elif field.is_list:
        yield "type", "array"
        yield "maxItems", MESSAGES_MAX if field.type is FieldType.MESSAGES else TEXTS_MAX
        yield "items", _element(field)
    else:
        yield from _text(field.length_max, required=field.required).items()


def _text(length_max: int, *, required: bool) -> dict[str, Any]:
    least = {"minLength": 1} if required else {}
    # No database keeps NUL in a text.
    return {"type": "string", **least, "maxLength": length_max, "pattern": "^[^\\u0000]*$"}


def _element(field: Field) -> dict[str, Any]:
    if field.type is FieldType.TEXTS:
        return _text(field.length_max, required=True)
    return {
        "type": "object",
        "properties": {
            "role": {"type": "string", "enum": list(ROLES)},
            "content": _text(field.length_max, required=False),
        },
        "required": ["role", "content"],
        "additionalProperties": False,
    }


def whole(number: float) -> int | float:
    """Turns a float without a fraction into an integer, as JSON has only one kind of number.

    Not from 2^53 on, where a float no longer tells one integer from the next.
    """
    return int(number) if abs(number) < WHOLE_BELOW and float(number).is_integer() else number


def with_style(graph: Mapping[str, Any], style: str) -> dict[str, Any]:
    """Returns a graph with a category's style in the place of ``CATEGORY_STYLE``."""
    return {
        **graph,
        "nodes": {node_id: _style(node, style) for node_id, node in graph["nodes"].items()},
    }


def _style(node: Mapping[str, Any], style: str) -> dict[str, Any]:
    inputs = node.get("inputs", {})
    filled = {
        port: value.replace(CATEGORY_STYLE, style, 1)
        if isinstance(value, str) and value.startswith(CATEGORY_STYLE)
        else value
        for port, value in inputs.items()
    }
    return {**node, "inputs": filled}
