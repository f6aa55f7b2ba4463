"""Versions that are ready for use, kept because they never change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import orjson
from pydantic import TypeAdapter

from kit.database import ReadSession, Row
from services.templates.templates import store
from services.templates.templates.domain import Template
from services.templates.templates.submission import Version

KEPT_MAX = 512
Key = tuple[str, int]
_template = TypeAdapter(Template)


def read_template(definition: str | bytes) -> Template:
    """Reads a template from JSON.

    Raises:
        pydantic.ValidationError: A part is missing, unknown or of the wrong type.
    """
    return _template.validate_json(definition)


class Versions:
    """Versions by template and number. Who may see one was decided where its number was read."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Version] = OrderedDict()

    async def get(self, session: ReadSession, keys: Sequence[Key]) -> list[Version]:
        """Returns versions in the order of their keys; reads those that are not kept."""
        ready = {key: kept for key in keys if (kept := self._kept.get(key))}
        missing = [key for key in keys if key not in ready]
        if missing:
            rows = await store.versions(session, missing)
            ready |= dict(_ready(row) for row in rows)
        for key, version in ready.items():
            self._keep(key, version)
        return [ready[key] for key in keys]

    def _keep(self, key: Key, version: Version) -> None:
        self._kept[key] = version
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)


def _ready(row: Row) -> tuple[Key, Version]:
    template = read_template(row["definition"])
    return (template.id, template.version), Version.of(
        template, orjson.loads(row["request_schema"])
    )
