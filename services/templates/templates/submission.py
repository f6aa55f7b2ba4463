"""Submissions: inputs against the schema, outputs and variations into priced items."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from kit.errors import FieldViolation, InvalidArgument
from services.templates.templates.domain import ITEMS_MAX, Field, Output, Template, whole
from workflow.graph import Graph, parse

SHOWN_LENGTH_MAX = 40
UNKNOWN_MAX = 20
# Schema keywords by what a person should read first, one fault per field.
_KEYWORDS = (
    *("type", "required", "additionalProperties", "maxItems", "enum"),
    *("minLength", "maxLength", "pattern", "minimum", "maximum"),
)
_KINDS = {
    "string": "must be text",
    "integer": "must be a whole number",
    "number": "must be a number",
    "boolean": "must be true or false",
    "array": "must be a list",
    "object": "must be an object",
}


@dataclass(frozen=True, eq=False)
class Version:
    """A version of a template, ready for use.

    Attributes:
        template: What it states.
        schema: What inputs are validated against.
        graph: Its graph, parsed.
        validator: Of the schema.
    """

    template: Template
    schema: Mapping[str, Any]
    graph: Graph
    validator: Draft202012Validator

    @classmethod
    def of(cls, template: Template, schema: Mapping[str, Any]) -> Version:
        """Parses the graph and prepares the schema.

        Raises:
            InvalidGraph: The graph names a node that this release does not have.
        """
        graph = parse(template.graph, template.form)
        return cls(template, schema, graph, Draft202012Validator(schema))

    def estimated_seconds(self, work_type: str) -> int:
        """Seconds that one work takes on an idle machine, rounded up."""
        return math.ceil(self.graph.seconds(work_type))


@dataclass(frozen=True)
class Item:
    """One work to be made: its type, number among its kind, price, estimate and pool."""

    work_type: str
    variation: int
    credits: int
    estimated_seconds: int
    pool: str


def check(
    version: Version, inputs: Mapping[str, Any], outputs: Sequence[str], variations: int
) -> tuple[dict[str, Any], list[Item]]:
    """Returns the inputs with their defaults, and the items in order of outputs, then variations.

    Args:
        version: Of the template.
        inputs: As they were sent.
        outputs: Work types; none for the template's defaults.
        variations: 0 for one.

    Raises:
        InvalidArgument: With one violation per fault.
    """
    template = version.template
    tidied = tidy(template.form_fields, inputs)
    violations = [
        *_output_violations(template, outputs),
        *_variation_violations(template, variations),
        *input_violations(version, tidied),
    ]
    wanted = _wanted(template, outputs)
    count = variations or 1
    total = sum(count if output.per_variation else 1 for output in wanted)
    if not violations and total > ITEMS_MAX:
        text = f"make {total} works, and one job makes at most {ITEMS_MAX}"
        violations.append(FieldViolation("variations", text))
    if violations:
        raise InvalidArgument("the submission is not valid", violations=tuple(violations))
    return filled(template.form_fields, tidied), list(_items(version, wanted, count))


def tidy(fields: Sequence[Field], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns inputs as they are meant: texts stripped, whole numbers as integers.

    null means not given, and so does an optional text that is blank.
    """
    known = {field.id: field for field in fields}
    tidied = {}
    for name, given in inputs.items():
        field, value = known.get(name), given
        if isinstance(value, str) and field is not None and field.is_text:
            value = value.strip()
            if not value and not field.required:
                continue
        elif isinstance(value, float) and math.isfinite(value):
            value = whole(value)
        if value is not None:
            tidied[name] = value
    return tidied


def filled(fields: Sequence[Field], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns inputs with the defaults of what was not given, in the order of the form."""
    values = {field.id: inputs.get(field.id, field.default) for field in fields}
    return {name: value for name, value in values.items() if value is not None}


def input_violations(version: Version, inputs: Mapping[str, Any]) -> list[FieldViolation]:
    """Validates inputs; one violation per field, those of the form first and in its order."""
    names = [field.id for field in version.template.form_fields]
    unknown = sorted(inputs.keys() - set(names))
    found = {name: "is required" for name in version.schema["required"] if name not in inputs}
    errors = [error for error in version.validator.iter_errors(inputs) if error.path]
    for error in sorted(errors, key=lambda error: _KEYWORDS.index(str(error.validator))):
        fault = _MESSAGES[str(error.validator)](error)
        found.setdefault(str(error.path[0]), f"{_within(error)}{fault}")
    violations = [FieldViolation(f"inputs.{name}", found[name]) for name in names if name in found]
    text = f"unknown field; the form has: {', '.join(names)}"
    violations += [FieldViolation(f"inputs.{_short(name)}", text) for name in unknown[:UNKNOWN_MAX]]
    if len(unknown) > UNKNOWN_MAX:
        more = f"{len(unknown) - UNKNOWN_MAX:,} more unknown fields"
        violations.append(FieldViolation("inputs", more))
    return violations


def _within(error: ValidationError) -> str:
    """Returns the place within a field that is a list, for example ``[3].content ``."""
    inner = list(error.path)[1:]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)
    return "".join(parts) + " " if inner else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_LENGTH_MAX else text[: SHOWN_LENGTH_MAX - 1] + "…"


def _limits(error: ValidationError) -> str:
    rules: Mapping[str, Any] = error.schema  # type: ignore[assignment]  # never a boolean
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is None:
        return f"must be at most {high:,}; it is {_short(error.instance)}"
    if high is None:
        return f"must be at least {low:,}; it is {_short(error.instance)}"
    return f"must be {low:,} to {high:,}; it is {_short(error.instance)}"


def _named(rule: Any) -> list[str]:
    return list(rule["properties"] if isinstance(rule, Mapping) else rule)


def _choices(error: ValidationError) -> str:
    allowed: Any = error.validator_value
    return f"must be one of: {', '.join(allowed)}; it is {_short(error.instance)!r}"


def _too_long(error: ValidationError) -> str:
    limit: Any = error.validator_value
    length = len(str(error.instance))
    return f"must be at most {limit:,} characters; it has {length:,}"


_MESSAGES: Mapping[str, Callable[[ValidationError], str]] = {
    "type": lambda error: _KINDS[str(error.validator_value)],
    "enum": _choices,
    "required": lambda error: f"needs: {', '.join(_named(error.validator_value))}",
    "additionalProperties": lambda error: f"takes only: {', '.join(_named(error.schema))}",
    "maxItems": lambda error: f"must have at most {error.validator_value} entries",
    "minLength": lambda _: "must not be empty",
    "maxLength": _too_long,
    "pattern": lambda _: "must not contain NUL",
    "minimum": _limits,
    "maximum": _limits,
}


def _output_violations(template: Template, outputs: Sequence[str]) -> Iterator[FieldViolation]:
    known = [output.work_type for output in template.outputs]
    for index, name in enumerate(outputs[: len(known) + 1]):
        if name not in known:
            text = f"{template.id} makes: {', '.join(known)}; not {_short(name)!r}"
            yield FieldViolation(f"outputs[{index}]", text)
        elif name in outputs[:index]:
            yield FieldViolation(f"outputs[{index}]", f"names {name} again; name each once")


def _variation_violations(template: Template, variations: int) -> Iterator[FieldViolation]:
    if not 0 <= variations <= template.variations_max:
        text = f"must be 1 to {template.variations_max}; it is {variations:,}"
        yield FieldViolation("variations", text)


def _wanted(template: Template, outputs: Sequence[str]) -> list[Output]:
    if not outputs:
        return [output for output in template.outputs if output.by_default]
    by_type = {output.work_type: output for output in template.outputs}
    return [by_type[name] for name in outputs if name in by_type]


def _items(version: Version, wanted: Sequence[Output], variations: int) -> Iterator[Item]:
    for output in wanted:
        for variation in range(1, (variations if output.per_variation else 1) + 1):
            yield Item(
                work_type=output.work_type,
                variation=variation,
                credits=output.unit_credits,
                estimated_seconds=version.estimated_seconds(output.work_type),
                pool=version.graph.pool(output.work_type).value,
            )
