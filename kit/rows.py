"""Rows into messages: compiled once from descriptor and columns, every field accounted for.

A column has the name of its field. In the database an enum is its value's name in lower case
without the prefix, an id is a uuid, a time is a timestamptz.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kit.database.session import Row
from kit.errors import InvalidArgument

M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]


def enum_prefix(enum: EnumDescriptor) -> str:
    """Returns the prefix that all values of an enum share, for example ``WORK_STATE_``."""
    return str(enum.values[0].name).removesuffix("UNSPECIFIED")


def enum_words(enum: EnumDescriptor) -> dict[str, Any]:
    """Returns an enum's values by their word, for example ``{"completed": 4}``."""
    prefix = enum_prefix(enum)
    return {
        value.name.removeprefix(prefix).lower(): value.number
        for value in enum.values
        if value.number
    }


def enum_word(enum: EnumDescriptor, number: int) -> str:
    """Returns the word of an enum's value; empty for the unspecified one."""
    if not number:
        return ""
    return str(enum.values_by_number[number].name).removeprefix(enum_prefix(enum)).lower()


def timestamp(value: Any) -> Timestamp:
    """Turns a time into its message."""
    message = Timestamp()
    message.FromDatetime(value)
    return message


def time_of(message: Message, name: str) -> dt.datetime | None:
    """Returns the time that a field holds, to the microsecond; None where it is absent.

    Raises:
        InvalidArgument: It is none that a calendar has.
    """
    if not message.HasField(name):
        return None
    try:
        held: dt.datetime = getattr(message, name).ToDatetime(dt.UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument.of(name, "must be a time of the years 1 to 9999") from None
    return held


def _converter(field: Any) -> Convert | None:
    if field.enum_type is not None:
        return enum_words(field.enum_type).__getitem__
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Timestamp":
            return timestamp
        return None
    if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
        return str
    return lambda value: value


class RowMapper(Generic[M]):
    """Turns rows with these columns into messages.

    Args:
        message: The message type.
        filled_by_hand: Fields that the caller sets itself.
    """

    def __init__(self, message: type[M], *, filled_by_hand: tuple[str, ...] = ()) -> None:
        names = {field.name for field in message.DESCRIPTOR.fields}
        unknown = set(filled_by_hand) - names
        if unknown:
            raise LookupError(f"{message.DESCRIPTOR.full_name} has no {sorted(unknown)}")
        self._message = message
        self._converters: list[tuple[str, Convert]] = []
        for field in message.DESCRIPTOR.fields:
            if field.name in filled_by_hand:
                continue
            convert = _converter(field)
            if convert is None:
                raise LookupError(f"{field.full_name} is a message: fill it by hand")
            self._converters.append((field.name, convert))

    @property
    def columns(self) -> str:
        """The columns, for a SELECT list."""
        return ", ".join(name for name, _ in self._converters)

    def __call__(self, row: Row, **by_hand: Any) -> M:
        """Builds a message from a row and the fields filled by hand."""
        values = {
            name: convert(row[name]) for name, convert in self._converters if row[name] is not None
        }
        return self._message(**values, **by_hand)
