"""The catalogue of an installation: data files, checked before anything is served.

``fields.json`` holds form fields that templates share: an entry ``{"use": "aspect", "default":
"3:4"}`` of a form is the shared field with what it says otherwise. ``categories/*.json`` and
``templates/*.json`` hold one each, named as their file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from services.templates.categories import domain as categories
from services.templates.categories.domain import Category
from services.templates.templates.domain import Template
from services.templates.templates.faults import faults
from services.templates.templates.versions import read_template

ORDER_MAX = 999_999_999
T = TypeVar("T")
_category = TypeAdapter(Category)


class InvalidCatalogue(ValueError):
    """Data files are not valid.

    Attributes:
        faults: One line per fault: file, place, what is wrong.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Shelved:
    """A template with what may change under one version.

    Attributes:
        template: The version.
        order: Its place in lists.
        active: Whether it is shown and taken.
        definition: The version as JSON, in canonical form.
    """

    template: Template
    order: int
    active: bool
    definition: bytes

    @property
    def content_hash(self) -> str:
        """Tells whether a version's content changed."""
        return hashlib.sha256(self.definition).hexdigest()


@dataclass(frozen=True)
class Catalogue:
    """Everything that the data files state."""

    categories: Sequence[Category]
    templates: Sequence[Shelved]


def read(directory: Path) -> Catalogue:
    """Reads the data files.

    Raises:
        InvalidCatalogue: With every fault in every file.
    """
    found: list[str] = []
    shared = _load(directory / "fields.json")

    def template(raw: dict[str, Any]) -> Shelved:
        return shelve(raw, shared)

    read_categories = _each(directory / "categories", category, found)
    templates = _each(directory / "templates", template, found)
    found = found or _across(read_categories, templates)
    if found:
        raise InvalidCatalogue(found)
    return Catalogue(list(read_categories.values()), list(templates.values()))


def category(raw: dict[str, Any]) -> Category:
    """Reads one category.

    Raises:
        InvalidCatalogue: With its faults.
    """
    read_category = _category.validate_json(orjson.dumps(raw))
    if wrong := list(categories.faults(read_category)):
        raise InvalidCatalogue(wrong)
    return read_category


def shelve(raw: dict[str, Any], shared: Mapping[str, Any]) -> Shelved:
    """Reads one template.

    Args:
        raw: The file.
        shared: Form fields that it may use.

    Raises:
        InvalidCatalogue: With its faults.
    """
    stated = dict(raw)
    order, active = stated.pop("order", 0), stated.pop("active", True)
    if type(order) is not int or abs(order) > ORDER_MAX or not isinstance(active, bool):
        raise InvalidCatalogue(["order must be a whole number, and active true or false"])
    if isinstance(fields := raw.get("form_fields"), list):
        stated["form_fields"] = [_expand(field, shared) for field in fields]
    definition = orjson.dumps(stated, option=orjson.OPT_SORT_KEYS)
    template = read_template(definition)
    if wrong := faults(template):
        raise InvalidCatalogue([f"{fault.path}: {fault.message}" for fault in wrong])
    return Shelved(template, order, active, definition)


def _expand(field: Any, shared: Mapping[str, Any]) -> Any:
    if not isinstance(field, dict) or "use" not in field:
        return field
    name = field["use"]
    if name not in shared:
        raise InvalidCatalogue([f"form_fields: fields.json has no {name!r}"])
    own = {key: value for key, value in field.items() if key != "use"}
    return {"id": name, **shared[name], **own}


def _each(directory: Path, parse: Callable[[Any], T], found: list[str]) -> dict[str, T]:
    """Reads every file of a folder by its name; faults are added to ``found``."""
    read_files: dict[str, T] = {}
    for path in sorted(directory.glob("*.json")):
        name = f"{directory.name}/{path.name}"
        try:
            raw = _load(path)
            if raw.get("id") != path.stem:
                raise InvalidCatalogue([f"id: must be the file's name, {path.stem}"])
            read_files[path.stem] = parse(raw)
        except InvalidCatalogue as error:
            found += [f"{name}: {fault}" for fault in error.faults]
        except ValidationError as error:
            found += [f"{name}: {_place(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    return read_files


def _load(path: Path) -> dict[str, Any]:
    try:
        raw = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise InvalidCatalogue([f"{path.name}: cannot be read: {error}"]) from None
    if not isinstance(raw, dict):
        raise InvalidCatalogue([f"{path.name}: must be an object"])
    return raw


def _place(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location)


def _across(known: Mapping[str, Category], templates: Mapping[str, Shelved]) -> list[str]:
    """Checks what files say of each other."""
    found = [
        f"templates/{name}.json: category: there is no {shelved.template.category}"
        for name, shelved in templates.items()
        if shelved.template.category not in known
    ]
    for name, one in known.items():
        default = templates.get(one.default_template)
        if default is None or not default.active:
            found.append(
                f"categories/{name}.json: default_template: "
                f"there is no active template {one.default_template}"
            )
    if categories.GENERAL not in known:
        found.append(f"categories: {categories.GENERAL} is missing; it holds whatever fits none")
    return found
