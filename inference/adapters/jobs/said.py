"""Reading JSON that nobody has looked at: right types, or a refusal that names the field."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from inference.engine.errors import InvalidRequest
from inference.engine.pictures.files import FILE_BYTES_MAX

Said = Mapping[str, Any]
Output = dict[str, Any]
# By the type of a dataclass's field, as it is written there.
_TYPES: dict[object, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "float | None": ((int, float, type(None)), "a number, or null"),
}
_FILE_CHARACTERS_MAX = FILE_BYTES_MAX // 3 * 4 + 4


def an_object(said: Any, names: Collection[str], field: str) -> Said:
    """Returns an object that has no other fields.

    Raises:
        InvalidRequest: It is none, or has.
    """
    if not isinstance(said, dict) or not said.keys() <= set(names):
        known = ", ".join(sorted(names))
        raise InvalidRequest(f"{field}: must be an object of {known}", field=field)
    return said


def a_list(said: Any, field: str) -> list[Any]:
    """Returns a list; none for what is absent.

    Raises:
        InvalidRequest: It is none.
    """
    if not isinstance(said, list | tuple | None):
        raise InvalidRequest(f"{field}: must be a list", field=field)
    return list(said or ())


def scalars(kind: type, said: Said, prefix: str = "") -> Output:
    """Returns the numbers, texts and flags that a dataclass takes, each of its type.

    Args:
        kind: The dataclass.
        said: An object of its fields.
        prefix: Of the fields' names in a refusal.

    Raises:
        InvalidRequest: One has another type.
    """
    found = {}
    for field in fields(kind):
        if field.name in said and field.type in _TYPES:
            found[field.name] = _scalar(said[field.name], field.type, prefix + field.name)
    return found


def _scalar(value: Any, kind: object, name: str) -> Any:
    types, words = _TYPES[kind]
    if type(value) not in types:  # for isinstance true is a whole number
        raise InvalidRequest(f"{name}: must be {words}", field=name)
    if value is None or float not in types:
        return value
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidRequest(f"{name}: must be {words} of usual size", field=name) from error


def a_file(said: Any, field: str) -> bytes:
    """Reads a file in base64.

    Raises:
        InvalidRequest: It is none, or larger than 50 MiB.
    """
    if not isinstance(said, str) or not 0 < len(said) <= _FILE_CHARACTERS_MAX:
        raise InvalidRequest(f"{field}: must be a file of at most 50 MiB in base64", field=field)
    try:
        return base64.b64decode(said, validate=True)
    except ValueError as error:
        raise InvalidRequest(f"{field}: must be base64: {error}", field=field) from error


def file_output(name: str, data: bytes) -> Output:
    """A file as a part of an output."""
    return {name: base64.b64encode(data).decode(), "sha256": hashlib.sha256(data).hexdigest()}
