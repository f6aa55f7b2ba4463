"""Comments of the protos: prose for people, and the limits and reasons that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor

from kit.rpc.contract import failures

# What a JSON number carries exactly.
INTEGER_MAX = 2**53
_NUMBER = r"(\d[\d,]*)"
_LENGTHS = re.compile(rf"{_NUMBER} to {_NUMBER} characters")
_LENGTH_MAX = re.compile(rf"[Aa]t most {_NUMBER} characters")
_COUNT_MAX = re.compile(rf"[Aa]t most {_NUMBER} of at most {_NUMBER} characters")
_RANGE = re.compile(rf"(?:^|: ){_NUMBER} to {_NUMBER}\b(?! characters)")
_WORDS = re.compile(r"(?:^|: )(ko) or (en)\b")
_REASON = re.compile(r"\b[A-Z][A-Z_]{3,}\b")


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


def reasons(comment: str) -> list[str]:
    """Returns the error reasons that a comment of an RPC names, in their order."""
    return [word for word in dict.fromkeys(_REASON.findall(comment)) if word in failures()]


def count_max(comment: str) -> dict[str, Any]:
    """Returns how many values a list may have, where its comment says so."""
    found = _COUNT_MAX.search(comment)
    return {"maxItems": _int(found[1])} if found else {}


def limits(field: Any, comment: str) -> dict[str, Any]:
    """Returns what a comment says about values of a field of a request, as JSON Schema.

    Defaults stay prose: generators of types take a field with one for a required one.
    """
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _of_text(field, comment)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64):
        return _of_number(field, comment)
    return {}


def _of_text(field: Any, comment: str) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if count := _COUNT_MAX.search(comment):
        return {"maxLength": _int(count[2])}
    if lengths := _LENGTHS.search(comment):
        limits = {"minLength": _int(lengths[1]), "maxLength": _int(lengths[2])}
    elif length := _LENGTH_MAX.search(comment):
        limits = {"maxLength": _int(length[1])}
    if words := _WORDS.search(comment):
        limits["enum"] = list(words.groups())
    if field.name.endswith("_id") and field.name not in ("template_id", "login_id"):
        limits["format"] = "uuid"
    return limits


def _of_number(field: Any, comment: str) -> dict[str, Any]:
    if found := _RANGE.search(comment):
        return {"minimum": _int(found[1]), "maximum": _int(found[2])}
    is_long = field.cpp_type == FieldDescriptor.CPPTYPE_INT64
    return {"minimum": -INTEGER_MAX, "maximum": INTEGER_MAX} if is_long else {}


def _int(text: str) -> int:
    return int(text.replace(",", ""))
