"""The rule document: what changes where, and what is protected. Standard library only.

.. code-block:: json

    {"preset_id": "interior",
     "concepts": [{"concept": "wall", "change": "recolour", "colour": "#5b7f95"},
                  {"concept": "floor", "change": "tone", "temperature": 0.3, "feather_px": 3}],
     "protect": ["sofa"]}

Changes are made in their order, each to what the ones before have left. One table describes every
field; the parser and the JSON Schema are both read from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.engine.errors import InvalidRequest

CHANGES_MAX, PROTECTED_MAX = 16, 16
CONCEPT_CHARACTERS_MAX = 100
FEATHER_PX_MAX = 100
AREAS = ("concept", "around")
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


class InvalidRule(InvalidRequest):
    """The document is not valid.

    Attributes:
        faults: Path in the document and what is wrong there, one for each.
    """

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        path, message = faults[0]
        super().__init__(f"{path}: {message}", field=path)
        self.faults = faults


@dataclass(frozen=True)
class Number:
    """A number and its limits."""

    least: float
    most: float
    default: float
    whole: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """In JSON Schema."""
        limits = {"minimum": self.least, "maximum": self.most, "default": self.default}
        return {"type": "integer" if self.whole else "number", **limits}

    def fault(self, value: object) -> str:
        """What is wrong with a value, or nothing."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # As JSON Schema has it: 2.0 is a whole number too, and Struct knows no other.
        if not is_number or not math.isfinite(value) or (self.whole and value != int(value)):  # type: ignore[arg-type, call-overload]
            return "must be a whole number" if self.whole else "must be a number"
        if not self.least <= value <= self.most:  # type: ignore[operator]
            return f"must be {self.least:g} to {self.most:g}"
        return ""


@dataclass(frozen=True)
class Text:
    """A string: of a pattern, or one of a few."""

    pattern: str = ""
    choices: tuple[str, ...] = ()
    default: str | None = None
    characters_max: int = CONCEPT_CHARACTERS_MAX

    @property
    def schema(self) -> dict[str, Any]:
        """In JSON Schema."""
        said: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.characters_max}
        if self.choices:
            said = {"enum": list(self.choices)}
        if self.pattern:
            said |= {"pattern": f"^{self.pattern}$"}
        return said if self.default is None else said | {"default": self.default}

    def fault(self, value: object) -> str:
        """What is wrong with a value, or nothing."""
        if not isinstance(value, str):
            return "must be a string"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(self.choices)}"
        if not 1 <= len(value) <= self.characters_max:
            return f"must have 1 to {self.characters_max} characters"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return "must be a colour like #5b7f95"
        return ""


_Field = Number | Text
_SHARE, _SIGNED = Number(0, 1, 1), Number(-1, 1, 0)
_COLOUR, _NAME = Text(pattern=_HEX.pattern), Text()
_EVERYWHERE: dict[str, _Field] = {
    "concept": _NAME,
    "area": Text(choices=AREAS, default="concept"),
    "feather_px": Number(0, FEATHER_PX_MAX, 1, whole=True),
}
KINDS: dict[str, dict[str, _Field]] = {
    "recolour": {"colour": _COLOUR, "strength": _SHARE},
    "tone": {
        "temperature": _SIGNED,
        "saturation": _SIGNED,
        "brightness": _SIGNED,
        "contrast": _SIGNED,
    },
    "texture": {
        "image": _NAME,
        "scale": Number(0.05, 20, 1),
        "strength": _SHARE,
        "shading": _SHARE,
    },
    "replace": {"colour": _COLOUR, "image": _NAME},
    "remove": {},
    "blur": {"radius_px": Number(0.5, 200, 12)},
}
_ONE_OF = {"replace": ("colour", "image")}  # exactly one of them is given


@dataclass(frozen=True)
class Change:
    """What becomes of one concept.

    Attributes:
        concept: Whose masks.
        kind: One of :data:`KINDS`.
        area: What the masks cover, or everything around it.
        feather_px: The width of the soft edge on either side of the area's edge.
        settings: The fields of its kind, defaults filled in.
    """

    concept: str
    kind: str
    area: str = "concept"
    feather_px: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """A rule.

    Attributes:
        changes: In the order in which they are made; `concepts` in the document.
        protect: The concepts whose pixels never change.
        preset_id: The preset that it was made for, or empty; means nothing here.
    """

    changes: tuple[Change, ...]
    protect: tuple[str, ...] = ()
    preset_id: str = ""

    @property
    def concepts(self) -> tuple[str, ...]:
        """Every concept whose masks are needed, once."""
        return tuple(dict.fromkeys([*(change.concept for change in self.changes), *self.protect]))

    @property
    def images(self) -> tuple[str, ...]:
        """The name of every picture that it uses, once."""
        named = (change.settings.get("image") for change in self.changes)
        return tuple(dict.fromkeys(name for name in named if name))


def parse(document: object) -> Document:
    """Reads a document.

    Raises:
        InvalidRule: Names every field at fault.
    """
    faults: list[tuple[str, str]] = []
    if not isinstance(document, Mapping):
        raise InvalidRule((("rule", "must be an object"),))
    unknown = set(document) - {"concepts", "protect", "preset_id"}
    faults += [(str(name), "is not a field of a rule") for name in sorted(unknown, key=str)]
    changes = _list(document, "concepts", 1, CHANGES_MAX, faults)
    parsed = [_change(change, f"concepts[{at}]", faults) for at, change in enumerate(changes)]
    protect = _list(document, "protect", 0, PROTECTED_MAX, faults)
    for at, name in enumerate(protect):
        _judge(_NAME, name, f"protect[{at}]", faults)
    preset = document.get("preset_id", "")
    if preset != "":
        _judge(_NAME, preset, "preset_id", faults)
    if faults:
        raise InvalidRule(tuple(faults))
    return Document(tuple(each for each in parsed if each), tuple(protect), preset)


def schema() -> dict[str, Any]:
    """The document as JSON Schema (2020-12); what it allows, :func:`parse` takes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rule",
        "type": "object",
        "required": ["concepts"],
        "additionalProperties": False,
        "properties": {
            "preset_id": {"type": "string", "maxLength": CONCEPT_CHARACTERS_MAX},
            "concepts": {
                "type": "array",
                "minItems": 1,
                "maxItems": CHANGES_MAX,
                "items": {"oneOf": [_kind_schema(kind) for kind in KINDS]},
            },
            "protect": {"type": "array", "maxItems": PROTECTED_MAX, "items": _NAME.schema},
        },
    }


def _kind_schema(kind: str) -> dict[str, Any]:
    fields = {**_EVERYWHERE, **KINDS[kind]}
    said: dict[str, Any] = {
        "type": "object",
        "required": ["change", *_required(kind)],
        "additionalProperties": False,
        "properties": {
            "change": {"const": kind},
            **{name: each.schema for name, each in fields.items()},
        },
    }
    if kind in _ONE_OF:
        said["oneOf"] = [{"required": [name]} for name in _ONE_OF[kind]]
    return said


def _required(kind: str) -> list[str]:
    fields = {**_EVERYWHERE, **KINDS[kind]}
    optional = _ONE_OF.get(kind, ())
    return [name for name, each in fields.items() if each.default is None and name not in optional]


def _list(
    document: Mapping[str, Any], name: str, least: int, most: int, faults: list[tuple[str, str]]
) -> list[Any]:
    given = document.get(name, [])
    if not isinstance(given, list | tuple):
        faults.append((name, "must be a list"))
        return []
    if not least <= len(given) <= most:
        faults.append((name, f"must have {least} to {most} entries"))
    return list(given)


def _change(given: object, path: str, faults: list[tuple[str, str]]) -> Change | None:
    if not isinstance(given, Mapping):
        faults.append((path, "must be an object"))
        return None
    kind = given.get("change")
    if not isinstance(kind, str) or kind not in KINDS:
        faults.append((f"{path}.change", f"must be one of {', '.join(KINDS)}"))
        return None
    fields = {**_EVERYWHERE, **KINDS[kind]}
    before = len(faults)
    unknown = sorted(set(given) - set(fields) - {"change"}, key=str)
    faults += [(f"{path}.{name}", f"is not a field of {kind}") for name in unknown]
    missing = [name for name in _required(kind) if name not in given]
    faults += [(f"{path}.{name}", "is required") for name in missing]
    for name, each in fields.items():
        if name in given:
            _judge(each, given[name], f"{path}.{name}", faults)
    options = _ONE_OF.get(kind, ())
    if options and sum(name in given for name in options) != 1:
        faults.append((f"{path}.{options[0]}", f"give exactly one of {' and '.join(options)}"))
    return None if len(faults) > before else _built(kind, given)


def _built(kind: str, given: Mapping[str, Any]) -> Change:
    def value(name: str, each: _Field) -> Any:
        return given.get(name, each.default)

    settings = {name: value(name, each) for name, each in KINDS[kind].items()}
    return Change(
        concept=given["concept"],
        kind=kind,
        area=value("area", _EVERYWHERE["area"]),
        feather_px=int(value("feather_px", _EVERYWHERE["feather_px"])),
        settings={name: each for name, each in settings.items() if each is not None},
    )


def _judge(each: _Field, value: object, path: str, faults: list[tuple[str, str]]) -> None:
    fault = each.fault(value)
    if fault:
        faults.append((path, fault))
