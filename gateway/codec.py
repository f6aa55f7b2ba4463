"""JSON to messages.

Reading is strict: an unknown field, a wrong type or an unknown word is named with its path.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kit.errors import FieldViolation, InvalidArgument
from kit.rows import enum_words

DEPTH_MAX = 32
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**53), 2**53),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**53),
}
_NUMBER = re.compile(r"-?[0-9]{1,17}(\.[0-9]{1,17})?", re.ASCII)
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_TIMESTAMP = timestamp_pb2.Timestamp.DESCRIPTOR.full_name
_STRUCTS = {
    struct_pb2.Struct.DESCRIPTOR.full_name,
    struct_pb2.Value.DESCRIPTOR.full_name,
    struct_pb2.ListValue.DESCRIPTOR.full_name,
}


class Fault(ValueError):
    """A value does not fit its field."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.violation = FieldViolation(path, message)


def from_json(message: Message, value: Any, path: str = "", depth: int = 0) -> list[FieldViolation]:
    """Fills a message from parsed JSON and returns every fault that was found."""
    if not isinstance(value, dict):
        return [FieldViolation(path or "body", "must be an object")]
    if depth > DEPTH_MAX:
        return [FieldViolation(path, f"nested deeper than {DEPTH_MAX}")]
    violations: list[FieldViolation] = []
    fields: Mapping[str, Any] = message.DESCRIPTOR.fields_by_name
    for name, given in value.items():
        at = f"{path}.{name}" if path else str(name)
        field = fields.get(name)
        if field is None:
            violations.append(FieldViolation(at, "unknown field"))
        elif given is not None:
            violations += _set(message, field, given, at, depth)
    return violations


def _set(
    message: Message, field: FieldDescriptor, given: Any, path: str, depth: int
) -> list[FieldViolation]:
    if field.message_type is not None and field.message_type.full_name in _STRUCTS:
        return _set_struct(getattr(message, field.name), given, path)
    if field.is_repeated:
        return _set_list(message, field, given, path, depth)
    try:
        if field.message_type is None:
            setattr(message, field.name, _scalar(field, given, path))
        elif field.message_type.full_name == _TIMESTAMP:
            getattr(message, field.name).CopyFrom(_timestamp(given, path))
        else:
            target = getattr(message, field.name)
            target.SetInParent()
            return from_json(target, given, path, depth + 1)
    except Fault as fault:
        return [fault.violation]
    return []


def _set_list(
    message: Message, field: FieldDescriptor, given: Any, path: str, depth: int
) -> list[FieldViolation]:
    if not isinstance(given, list):
        return [FieldViolation(path, "must be a list")]
    violations: list[FieldViolation] = []
    target = getattr(message, field.name)
    for index, value in enumerate(given):
        at = f"{path}[{index}]"
        if field.message_type is not None:
            violations += from_json(target.add(), value, at, depth + 1)
            continue
        try:
            target.append(_scalar(field, value, at))
        except Fault as fault:
            violations.append(fault.violation)
    return violations


def _set_struct(target: Message, given: Any, path: str) -> list[FieldViolation]:
    if isinstance(target, struct_pb2.Struct) and not isinstance(given, dict):
        return [FieldViolation(path, "must be an object")]
    try:
        json_format.ParseDict(given, target, max_recursion_depth=DEPTH_MAX)
    except (json_format.ParseError, RecursionError):
        return [FieldViolation(path, "must be plain JSON that is not nested too deeply")]
    target.SetInParent()
    return []


def _timestamp(given: Any, path: str) -> timestamp_pb2.Timestamp:
    timestamp = timestamp_pb2.Timestamp()
    try:
        timestamp.FromJsonString(given)
    except (ValueError, AttributeError, TypeError):
        raise Fault(path, "must be an RFC 3339 time, for example 2026-01-31T09:00:00Z") from None
    return timestamp


def _scalar(field: FieldDescriptor, given: Any, path: str) -> Any:
    if field.enum_type is not None:
        words = enum_words(field.enum_type)
        if not isinstance(given, str) or given not in words:
            raise Fault(path, "must be one of: " + ", ".join(words))
        return words[given]
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _typed(given, bool, path, "must be true or false")
    if field.cpp_type in _INTEGERS:
        return _integer(given, *_INTEGERS[field.cpp_type], path)
    if field.cpp_type in _FLOATS:
        number = _typed(given, (int, float), path, "must be a number")
        if isinstance(given, bool) or not math.isfinite(number):
            raise Fault(path, "must be a number")
        return float(number)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(given, path)
    text = _typed(given, str, path, "must be a string")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Fault(path, "must not contain NUL or lone surrogates")
    return text


def _typed(given: Any, kind: Any, path: str, message: str) -> Any:
    if not isinstance(given, kind):
        raise Fault(path, message)
    return given


def _integer(given: Any, low: int, high: int, path: str) -> int:
    if isinstance(given, float) and given.is_integer():
        given = int(given)  # JSON knows one kind of number: 1.0 is 1
    if isinstance(given, bool) or not isinstance(given, int):
        raise Fault(path, "must be a whole number")
    if not low <= given <= high:
        raise Fault(path, f"must be {low} to {high}")
    return given


def _bytes(given: Any, path: str) -> bytes:
    try:
        return base64.b64decode(_typed(given, str, path, "must be base64"), validate=True)
    except binascii.Error:
        raise Fault(path, "must be base64") from None


def from_query(message: Message, name: str, values: list[str]) -> list[FieldViolation]:
    """Fills one field of a request from the query string."""
    field: Any = message.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None and field.message_type.full_name != _TIMESTAMP:
        return [FieldViolation(name, "cannot be given in the query")]
    if not field.is_repeated and len(values) != 1:
        return [FieldViolation(name, "must be given once")]
    try:
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            setattr(message, name, _scalar(field, values[0], name))
            return []
        parsed = [_from_text(field, value, name) for value in values]
    except Fault as fault:
        return [fault.violation]
    return from_json(message, {name: parsed if field.is_repeated else parsed[0]})


def _from_text(field: FieldDescriptor, text: str, path: str) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text not in ("true", "false"):
            raise Fault(path, "must be true or false")
        return text == "true"
    if field.cpp_type in _INTEGERS or (field.cpp_type in _FLOATS):
        if not _NUMBER.fullmatch(text):
            raise Fault(path, "must be a number")
        return int(text) if field.cpp_type in _INTEGERS and "." not in text else float(text)
    return text


def refuse(violations: list[FieldViolation]) -> None:
    """Raises where there are violations.

    Raises:
        InvalidArgument: With all of them.
    """
    if violations:
        raise InvalidArgument("the request is not valid", violations=tuple(violations))
