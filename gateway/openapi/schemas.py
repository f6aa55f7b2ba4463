"""JSON Schemas of messages.

A message of a request is closed and carries the limits that its comments name; the same message in
an answer is open, so that a field can be added.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from gateway import routes
from gateway.encoding import ROWS, selectable
from gateway.openapi.comments import comments, count_max, limits
from gateway.routes import is_required
from kit.rows import enum_words
from kit.rpc.contract import failures

_UUID_OR_EMPTY = "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$"
_INT32 = {"type": "integer", "format": "int32"}
_INT64 = {"type": "integer", "format": "int64"}
_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_INT32: _INT32,
    FieldDescriptor.CPPTYPE_UINT32: _INT32,
    FieldDescriptor.CPPTYPE_INT64: _INT64,
    FieldDescriptor.CPPTYPE_UINT64: _INT64,
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
}
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
}


def problem() -> dict[str, Any]:
    """Returns the schema of every refusal."""
    text = {"type": "string"}
    fault = {
        "type": "object",
        "required": ["field", "message"],
        "properties": {
            "field": {"type": "string", "description": "Its path in the request."},
            "message": {"type": "string", "description": "What is wrong and what would be right."},
        },
    }
    codes = [failure.code for failure in failures().values()]
    return {
        "type": "object",
        "description": "A refusal (RFC 9457). All codes: /docs/errors.",
        "required": ["type", "title", "status", "code", "detail", "request_id"],
        "properties": {
            "type": text | {"description": "Leads to the code's entry in the list of codes."},
            "title": text,
            "status": {"type": "integer", "description": "The HTTP status."},
            "code": {"type": "string", "enum": codes, "description": "Stable: switch on it."},
            "detail": text | {"description": "For a person; may change."},
            "request_id": text | {"description": "Under which logs know the request."},
            "errors": {"type": "array", "items": fault, "description": "Every field at fault."},
            "details": {"type": "object", "additionalProperties": True},
        },
    }


class Schemas:
    """Collects the schemas that operations refer to."""

    def __init__(self) -> None:
        self.comments = comments(routes.load_descriptors())
        self.named: dict[str, Any] = {"Problem": problem()}

    def of_fields(self, descriptor: Any) -> dict[str, Any]:
        """Returns a reference to the names of an answer's fields, for ``fields``."""
        rows = descriptor.fields_by_name.get(ROWS)
        name = f"{(rows.message_type if rows else descriptor).name}Field"
        self.named[name] = {"type": "string", "enum": selectable(descriptor)}
        return {"$ref": f"#/components/schemas/{name}"}

    def of_message(self, descriptor: Any, *, sent: bool, without: tuple[str, ...] = ()) -> Any:
        """Returns a reference to a message's schema.

        Args:
            descriptor: Of the message.
            sent: Whether a client sends it.
            without: Fields that are bound elsewhere.
        """
        if descriptor.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[descriptor.full_name])
        name = str(descriptor.name)
        if name not in self.named:
            self.named[name] = {}  # a message may contain itself
            self.named[name] = self._object(descriptor, sent, without)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, descriptor: Any, sent: bool, without: tuple[str, ...]) -> dict[str, Any]:
        fields = [field for field in descriptor.fields if field.name not in without]
        found: dict[str, Any] = {
            "type": "object",
            "description": self.comments[descriptor.full_name],
            "properties": {field.name: self._property(field, sent) for field in fields},
        }
        required = [f.name for f in fields if (is_required(f) if sent else _is_always_there(f))]
        if required:
            found["required"] = required
        if sent:
            found["additionalProperties"] = False
        return found

    def _property(self, field: Any, sent: bool) -> dict[str, Any]:
        schema = self.of_field(field, sent=sent)
        if sent and not is_required(field):
            schema = _or_null(or_empty(field, schema))
        text = self.comments[field.full_name]
        if "$ref" in schema:
            return {"allOf": [schema], "description": text}
        return {**schema, "description": text}

    def of_field(self, field: Any, *, sent: bool) -> dict[str, Any]:
        """Returns the schema of a field's value."""
        one = self._value(field, sent)
        comment = self.comments[field.full_name]
        if sent:
            one |= limits(field, comment)
        if not field.is_repeated:
            return one
        return {"type": "array", "items": one} | (count_max(comment) if sent else {})

    def _value(self, field: Any, sent: bool) -> dict[str, Any]:
        if field.message_type is not None:
            message: dict[str, Any] = self.of_message(field.message_type, sent=sent)
            return message
        if field.enum_type is not None:
            return {"type": "string", "enum": list(enum_words(field.enum_type))}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return dict(_SCALARS.get(field.cpp_type, {"type": "string"}))


def _is_always_there(field: Any) -> bool:
    """Whether answers always carry a field: absent messages and unspecified enums are left out."""
    return bool(field.is_repeated) or not (field.has_presence or field.enum_type is not None)


def or_empty(field: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """An empty string is one that is not given, where it may be; an enum has no such word."""
    if schema.get("format") == "uuid":
        rest = {name: value for name, value in schema.items() if name != "format"}
        return rest | {"pattern": _UUID_OR_EMPTY}
    if "enum" in schema and field.enum_type is None:
        return schema | {"enum": [*schema["enum"], ""]}
    return schema


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Null means not given."""
    if "enum" in schema:
        return schema | {"type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    if "type" in schema:
        return schema | {"type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
