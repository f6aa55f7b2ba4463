"""Templates as messages, made once per version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from atelier.templates.v1 import templates_pb2 as pb
from google.protobuf import json_format, struct_pb2

from services.templates.categories.domain import Text
from services.templates.templates.domain import Field
from services.templates.templates.submission import Version


@lru_cache(maxsize=512)
def template(version: Version) -> pb.Template:
    """Turns a version into its message; the caller does not change it."""
    stated = version.template
    return pb.Template(
        id=stated.id,
        version=stated.version,
        title=text(stated.title),
        description=text(stated.description),
        category=stated.category,
        outputs=[
            pb.TemplateOutput(
                work_type=output.work_type,
                unit_credits=output.unit_credits,
                estimated_seconds=version.estimated_seconds(output.work_type),
                by_default=output.by_default,
                per_variation=output.per_variation,
            )
            for output in stated.outputs
        ],
        form_fields=[_field(field) for field in stated.form_fields],
        request_schema=_struct(version.schema),
        graph=_struct(stated.graph),
        variations_max=stated.variations_max,
    )


def text(value: Text | None) -> pb.Text | None:
    """Turns a text into its message."""
    return pb.Text(ko=value.ko, en=value.en) if value else None


def plain(value: struct_pb2.Value) -> Any:
    """Turns a value of a Struct into plain Python.

    ``json_format`` would refuse a number that is not finite with an error of its own; here it
    becomes a text, which then does not fit its field.
    """
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return number if math.isfinite(number) else str(number)
        case "struct_value":
            return {key: plain(inner) for key, inner in value.struct_value.fields.items()}
        case "list_value":
            return [plain(inner) for inner in value.list_value.values]
        case "string_value" | "bool_value" as kind:
            return getattr(value, kind)
    return None


def _field(field: Field) -> pb.FormField:
    message = pb.FormField(
        id=field.id,
        type=field.type.value,
        label=text(field.label),
        hint=text(field.hint),
        required=field.required,
        choices=[pb.Choice(value=one.value, label=text(one.label)) for one in field.choices],
        min=field.min,
        max=field.max,
        length_max=field.length_max,
    )
    if field.default is not None:
        message.default.CopyFrom(_struct({"default": field.default}).fields["default"])
    return message


def _struct(data: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    json_format.ParseDict(dict(data), struct)
    return struct
