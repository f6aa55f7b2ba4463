"""Messages to JSON, compiled once per message type.

snake_case names, enum values as lower-case words, 64-bit integers as numbers (all of ours are below
2^53), RFC 3339 times; absent messages and unspecified enums are left out, the rest is always there.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kit.errors import InvalidArgument
from kit.rows import enum_words

# The list of a page.
ROWS = "data"
# Compiled selections that are kept; what is not kept is compiled again.
PARTIAL_MAX = 256

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # naive: its text is to have no offset
# Written for an unspecified enum: the field is left out.
_ABSENT = object()

Encode = Callable[[Any], Any]
EncodeMessage = Callable[[Message], dict[str, Any]]
_Tree = dict[str, "_Tree"]


def to_json(message: Message) -> dict[str, Any]:
    """Turns a message into what orjson can write."""
    return encoder(message.DESCRIPTOR)(message)


@cache
def encoder(descriptor: Descriptor) -> EncodeMessage:
    """Returns the compiled encoder of a type of message."""
    return _compile(descriptor, {})


@lru_cache(PARTIAL_MAX)
def partial_encoder(descriptor: Descriptor, fields: str) -> EncodeMessage:
    """Compiles an encoder of some fields only.

    Args:
        descriptor: Of the message; of a page the fields of its rows are meant.
        fields: Names, comma-separated; a dot leads into a message: ``id,items.state``.

    Raises:
        InvalidArgument: There is no such field.
    """
    wanted: _Tree = {}
    for path in fields.split(","):
        below = wanted
        for name in path.strip().split("."):
            below = below.setdefault(name, {})
    if ROWS not in descriptor.fields_by_name:
        return _compile(descriptor, wanted)
    page: _Tree = {field.name: {} for field in descriptor.fields}
    return _compile(descriptor, {**page, ROWS: wanted})


def selectable(descriptor: Descriptor) -> list[str]:
    """Returns the fields that may be asked for; of a page those of its rows."""
    rows: Any = descriptor.fields_by_name.get(ROWS)
    return list(_paths(rows.message_type if rows else descriptor, frozenset()))


def _paths(descriptor: Any, above: frozenset[str]) -> Iterator[str]:
    for field in descriptor.fields:
        yield field.name
        message = field.message_type
        plain = message is None or message.full_name in _WELL_KNOWN
        if not plain and message.full_name not in above:  # a message may contain itself
            inside = _paths(message, above | {descriptor.full_name})
            yield from (f"{field.name}.{path}" for path in inside)


def _compile(descriptor: Descriptor, wanted: _Tree) -> EncodeMessage:
    """Compiles an encoder of the wanted fields; of all, where none is named.

    All values are read by one call of C; only those that are no JSON yet are looked at again.
    """
    unknown = wanted.keys() - {field.name for field in descriptor.fields}
    if unknown:
        known = ", ".join(field.name for field in descriptor.fields)
        raise InvalidArgument.of("fields", f"no field {min(unknown)}; there are {known}")
    fields = [field for field in descriptor.fields if not wanted or field.name in wanted]
    names = tuple(field.name for field in fields)
    read = _reader(names)
    special = [
        (field.name, field.has_presence, _encoder_of(field, wanted.get(field.name, {})))
        for field in fields
        if wanted.get(field.name) or not _is_plain(field)
    ]

    def encode(message: Message) -> dict[str, Any]:
        written = dict(zip(names, read(message), strict=True))
        for name, may_be_absent, value in special:
            if may_be_absent and not message.HasField(name):
                del written[name]
                continue
            encoded = value(written[name])
            if encoded is _ABSENT:
                del written[name]
            else:
                written[name] = encoded
        return written

    return encode


def _reader(names: tuple[str, ...]) -> Callable[[Message], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda message: tuple(getattr(message, name) for name in names)


def _is_plain(field: FieldDescriptor) -> bool:
    """Whether a field's value is JSON as it is, and always there."""
    special = field.message_type is not None or field.enum_type is not None
    return not (special or field.is_repeated or field.has_presence or _is_bytes(field))


def _is_bytes(field: FieldDescriptor) -> bool:
    return bool(field.type == FieldDescriptor.TYPE_BYTES)


def _encoder_of(field: FieldDescriptor, wanted: _Tree) -> Encode:
    """Returns how a field's value is written."""
    one = _partial_value(field, wanted) if wanted else _value_encoder(field)
    if not field.is_repeated:
        return one or _same
    return list if one is None else lambda values: [one(value) for value in values]


def _same(value: Any) -> Any:
    return value


def _partial_value(field: FieldDescriptor, wanted: _Tree) -> Encode:
    message = field.message_type
    if message is None or message.full_name in _WELL_KNOWN:
        raise InvalidArgument.of("fields", f"{field.name} has no fields of its own")
    return _compile(message, wanted)


def _value_encoder(field: FieldDescriptor) -> Encode | None:
    """Returns how one value is written; None where it is JSON already."""
    if field.message_type is not None:
        known = _WELL_KNOWN.get(field.message_type.full_name)
        return known or partial(_encode_lazily, field.message_type)
    if field.enum_type is not None:
        words = {number: word for word, number in enum_words(field.enum_type).items()}
        return lambda number: words.get(number, _ABSENT)
    return _base64 if _is_bytes(field) else None


def _encode_lazily(descriptor: Descriptor, message: Message) -> dict[str, Any]:
    return encoder(descriptor)(message)  # only now: a message may contain itself


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _time(value: Any) -> str:
    """Writes as Timestamp.ToJsonString does."""
    seconds = (_EPOCH + dt.timedelta(seconds=value.seconds)).isoformat()
    nanos = value.nanos
    if not nanos:
        return seconds + "Z"
    if nanos % 1_000_000 == 0:
        return f"{seconds}.{nanos // 1_000_000:03d}Z"
    if nanos % 1_000 == 0:
        return f"{seconds}.{nanos // 1_000:06d}Z"
    return f"{seconds}.{nanos:09d}Z"


def _struct(value: Any) -> dict[str, Any]:
    return {name: _any(inner) for name, inner in value.fields.items()}


def _any(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return [_any(inner) for inner in value.list_value.values]
    if kind == "number_value":
        number: float = value.number_value
        # Struct knows only doubles: whole ones are written as the integers that they were.
        return int(number) if number.is_integer() else number
    return None if kind in (None, "null_value") else getattr(value, kind)


_WELL_KNOWN: dict[str, Encode] = {
    "google.protobuf.Timestamp": _time,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _any,
}
