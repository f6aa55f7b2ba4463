"""The OpenAPI 3.1 document, from the descriptors, their comments and their options.

``python -m gateway.openapi PATH`` writes it; with ``--check`` it fails where the file is stale.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor

from gateway import routes
from gateway.problems import MEDIA_TYPE
from gateway.routes import Route
from kit.identity import Kind
from kit.rows import enum_words
from kit.rpc.contract import failures

VERSION = "0.1.0"
_INT32 = {"type": "integer", "format": "int32"}
_INT64 = {"type": "integer", "format": "int64", "description": "Below 2^53."}
_SCALARS = {
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
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457, with a stable code.",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable: switch on it."},
        "detail": {"type": "string", "description": "For a person; may change."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "details": {"type": "object", "additionalProperties": True},
    },
}


def comments(descriptors: descriptor_pb2.FileDescriptorSet) -> dict[str, str]:
    """Returns the leading comment of every service, RPC, message, field, enum and value."""
    found: dict[str, str] = {}
    for file in descriptors.file:
        if file.name.startswith("atelier/"):
            at = {
                tuple(place.path): place.leading_comments.strip()
                for place in file.source_code_info.location
            }
            for path, name in _places(file):
                found[name] = " ".join(at.get(path, "").split())
    return found


def _places(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    for i, message in enumerate(file.message_type):
        name = f"{file.package}.{message.name}"
        yield (4, i), name
        for j, field in enumerate(message.field):
            yield (4, i, 2, j), f"{name}.{field.name}"
    for i, enum in enumerate(file.enum_type):
        name = f"{file.package}.{enum.name}"
        yield (5, i), name
        for j, value in enumerate(enum.value):
            yield (5, i, 2, j), f"{name}.{value.name}"
    for i, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield (6, i), name
        for j, method in enumerate(service.method):
            yield (6, i, 2, j), f"{name}.{method.name}"


class _Builder:
    def __init__(self) -> None:
        self._comments = comments(routes.load_descriptors())
        self._schemas: dict[str, Any] = {"Problem": _PROBLEM}

    def build(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        tags: dict[str, str] = {}
        for route in routes.routes():
            service = route.method.containing_service
            tags[_tag(route)] = self._comments[service.full_name]
            paths.setdefault(route.path, {})[route.verb.lower()] = self._operation(route)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Atelier",
                "version": VERSION,
                "description": "The backend of a generative-content studio.",
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in tags.items()],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._schemas.items())),
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
                },
            },
        }

    def _operation(self, route: Route) -> dict[str, Any]:
        method = route.method
        text = self._comments[method.full_name]
        summary = text.split(". ")[0].rstrip(".")
        operation: dict[str, Any] = {
            "operationId": method.name[0].lower() + method.name[1:],
            "tags": [_tag(route)],
            "summary": summary,
            "description": text,
            "parameters": list(self._parameters(route)),
            "responses": self._responses(route),
        }
        if route.policy.caller is not Kind.NOBODY:
            operation["security"] = [{"bearer": []}]
        if route.body:
            schema = (
                self._message(method.input_type, without=route.variables)
                if route.body == "*"
                else self._field(method.input_type.fields_by_name[route.body])
            )
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": schema}},
            }
        return operation

    def _parameters(self, route: Route) -> Iterator[dict[str, Any]]:
        fields: Any = route.method.input_type.fields_by_name
        for name in route.variables:
            yield self._parameter(fields[name], "path", required=True)
        for name in route.query_fields:
            yield self._parameter(fields[name], "query", required=False)
        if route.policy.idempotency_key_honoured:
            yield {
                "name": "Idempotency-Key",
                "in": "header",
                "required": route.policy.idempotency_key_required,
                "description": "The same key gives the same answer, for 30 days.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        if route.method.server_streaming:
            yield {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The id of the last event seen: the stream goes on after it.",
                "schema": {"type": "string"},
            }

    def _parameter(self, field: Any, where: str, *, required: bool) -> dict[str, Any]:
        return {
            "name": field.name,
            "in": where,
            "required": required,
            "description": self._comments[field.full_name],
            "schema": self._field(field),
        }

    def _responses(self, route: Route) -> dict[str, Any]:
        success = route.policy.success_status
        media = "text/event-stream" if route.method.server_streaming else "application/json"
        body = {media: {"schema": self._message(route.method.output_type)}}
        answered: dict[str, Any] = {
            str(success): {"description": "Done"} | ({} if success == 204 else {"content": body})
        }
        if "dry_run" in route.query_fields:
            answered["200"] = {"description": "The quote, for dry_run", "content": body}
        problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        answered["default"] = {"description": "Refused or failed", "content": problem}
        return answered

    def _message(self, descriptor: Any, without: tuple[str, ...] = ()) -> dict[str, Any]:
        if descriptor.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[descriptor.full_name])
        name = descriptor.name
        if name not in self._schemas:
            self._schemas[name] = {}  # a message may contain itself
            self._schemas[name] = self._object(descriptor, without)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, descriptor: Any, without: tuple[str, ...]) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required: list[str] = []
        for field in descriptor.fields:
            if field.name in without:
                continue
            schema = self._field(field)
            text = self._comments[field.full_name]
            schema = {"allOf": [schema]} if "$ref" in schema else schema
            schema["description"] = text
            behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
            if field_behavior_pb2.OUTPUT_ONLY in behavior:
                schema["readOnly"] = True
            if field_behavior_pb2.REQUIRED in behavior:
                required.append(field.name)
            properties[field.name] = schema
        found = {
            "type": "object",
            "description": self._comments[descriptor.full_name],
            "properties": properties,
        }
        return found | ({"required": required} if required else {})

    def _field(self, field: Any) -> dict[str, Any]:
        if field.is_repeated:
            return {"type": "array", "items": self._value(field)}
        return self._value(field)

    def _value(self, field: Any) -> dict[str, Any]:
        if field.message_type is not None:
            return self._message(field.message_type)
        if field.enum_type is not None:
            return {"type": "string", "enum": list(enum_words(field.enum_type))}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return dict(_SCALARS.get(field.cpp_type, {"type": "string"}))


def _tag(route: Route) -> str:
    name = str(route.method.containing_service.name).removesuffix("Service")
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def build() -> dict[str, Any]:
    """Builds the document."""
    failures()  # every reason has its status, or this raises
    return _Builder().build()


def text() -> str:
    """Builds the document as it is committed."""
    return json.dumps(build(), indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the document, or checks the file."""
    path = Path(arguments[-1])
    if arguments[0] != "--check":
        path.write_text(text())
        return 0
    if not path.exists() or path.read_text() != text():
        sys.stderr.write(f"{path} is stale: run make openapi\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
