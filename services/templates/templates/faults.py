"""What can be wrong with a template. Each fault is a path in its file and what is wrong there."""

from __future__ import annotations

from collections.abc import Iterator

from services.templates.categories.domain import is_name
from services.templates.templates.domain import (
    MESSAGE_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    VARIATIONS_MAX,
    Field,
    FieldType,
    Template,
)
from workflow.graph import Fault, Graph, InvalidGraph, Reference, parse

FIELDS_MAX = 40
CREDITS_MAX = 100_000
WORK_TYPES = (
    "marketing_copy",
    "promotional_image",
    "palette_image",
    "branding_report",
    "short_video",
    "video_clip",
)


def faults(template: Template) -> list[Fault]:
    """Returns everything that is wrong with a template, its graph included."""
    found = [*_head(template), *_outputs(template), *_fields(template)]
    try:
        graph = parse(template.graph, template.form)
    except InvalidGraph as error:
        return found + [Fault(f"graph.{fault.path}", fault.message) for fault in error.faults]
    return found + list(_wiring(template, graph))


def _head(template: Template) -> Iterator[Fault]:
    if not is_name(template.id):
        yield Fault("id", "must be lower-case words joined by hyphens")
    if template.version < 1:
        yield Fault("version", "must be 1 or greater")
    if not 1 <= template.variations_max <= VARIATIONS_MAX:
        yield Fault("variations_max", f"must be 1 to {VARIATIONS_MAX}")


def _outputs(template: Template) -> Iterator[Fault]:
    types = [output.work_type for output in template.outputs]
    for index, output in enumerate(template.outputs):
        at = f"outputs[{index}]"
        if output.work_type not in WORK_TYPES:
            yield Fault(f"{at}.work_type", "must be one of: " + ", ".join(WORK_TYPES))
        if output.work_type in types[:index]:
            yield Fault(f"{at}.work_type", "is there twice")
        if not 0 <= output.unit_credits <= CREDITS_MAX:
            yield Fault(f"{at}.unit_credits", f"must be 0 to {CREDITS_MAX:,}")
    if not any(output.by_default for output in template.outputs):
        yield Fault("outputs", "at least one must be made by default")


def _fields(template: Template) -> Iterator[Fault]:
    ids = [field.id for field in template.form_fields]
    if len(ids) > FIELDS_MAX:
        yield Fault("form_fields", f"must be at most {FIELDS_MAX}")
    for index, field in enumerate(template.form_fields):
        at = f"form_fields[{index}]"
        if not field.id.isidentifier() or not field.id.isascii():
            yield Fault(f"{at}.id", "must be a plain word")
        if field.id in ids[:index]:
            yield Fault(f"{at}.id", "is there twice")
        for part, message in _field(field):
            yield Fault(f"{at}.{part}", message)


def _field(field: Field) -> Iterator[tuple[str, str]]:
    if bool(field.choices) != (field.type is FieldType.CHOICE):
        yield "choices", "belong to a choice, and it needs some"
    longest = MESSAGE_LENGTH_MAX if field.type is FieldType.MESSAGES else TEXT_LENGTH_MAX
    if (field.is_text or field.is_list) and not 1 <= field.length_max <= longest:
        yield "length_max", f"must be 1 to {longest:,}"
    if field.required and field.default is not None:
        yield "default", "a required field has none"
    elif field.default is not None and not _fits(field):
        yield "default", f"does not fit a {field.type} of these limits"


def _fits(field: Field) -> bool:
    default = field.default
    if field.type is FieldType.BOOLEAN:
        return isinstance(default, bool)
    if field.is_list:
        return default == []
    if field.type is FieldType.CHOICE:
        return default in [choice.value for choice in field.choices]
    if field.is_text:
        return isinstance(default, str) and len(default) <= field.length_max
    if isinstance(default, bool) or not isinstance(default, int | float):
        return False
    low = default if field.min is None else field.min
    high = default if field.max is None else field.max
    return low <= default <= high and (isinstance(default, int) or not field.whole)


def _wiring(template: Template, graph: Graph) -> Iterator[Fault]:
    """Checks where form and graph meet: no node reads nothing, or a value that it does not know."""
    types = {output.work_type for output in template.outputs}
    if types != graph.outputs.keys():
        yield Fault("graph.outputs", "must be the work types of the outputs, no more and no fewer")
    fields = {field.id: field for field in template.form_fields}
    for node in graph.nodes.values():
        for port, value in node.inputs.items():
            if isinstance(value, Reference) and value.source == "inputs":
                fault = _reads(fields[value.name], node.spec.inputs[port].choices)
                if fault:
                    yield Fault(f"graph.nodes.{node.id}.inputs.{port}", fault)


def _reads(field: Field, choices: tuple[str, ...]) -> str:
    if not field.required and field.default is None:
        return f"reads {field.id}, which must then be required or have a default"
    if choices and not {choice.value for choice in field.choices} <= set(choices):
        return f"takes only: {', '.join(choices)}; {field.id} offers more"
    if choices and not field.choices:
        return f"takes only: {', '.join(choices)}; {field.id} must be a choice of them"
    return ""
