"""Use cases of templates."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.database import ReadSession, Row
from kit.errors import NotFound
from kit.paging import Page
from services.templates.categories import service as categories
from services.templates.categories.domain import GENERAL, is_name
from services.templates.templates import store
from services.templates.templates.domain import UnknownTemplate, with_style
from services.templates.templates.paging import ShelfRequest
from services.templates.templates.submission import Item, Version, check
from services.templates.templates.versions import Versions

KNOWN_MAX = 100


@dataclass(frozen=True)
class Submission:
    """What a user asked for; empty means the default.

    Attributes:
        template_id: The template.
        category: The category.
        outputs: The work types wanted.
        variations: How many of each that varies; 0: one.
        inputs: The form's inputs.
    """

    template_id: str
    category: str
    outputs: Sequence[str]
    variations: int
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Resolved:
    """All that a job keeps of a submission."""

    version: Version
    category: str
    inputs: Mapping[str, Any]
    graph: Mapping[str, Any]
    items: Sequence[Item]


async def shelf(
    session: ReadSession,
    versions: Versions,
    user_id: uuid.UUID | None,
    category: str,
    request: ShelfRequest,
) -> Page[Version]:
    """Reads a page of the templates that a user is shown, in their order."""
    if category and not is_name(category):
        return Page([], "")
    page = await store.page(session, user_id, category, request)
    found = await versions.get(session, [(row["id"], row["version"]) for row in page.rows])
    return Page(found, page.next_cursor)


async def get(
    session: ReadSession, versions: Versions, user_id: uuid.UUID | None, template_id: str
) -> Version:
    """Reads the newest version of a template.

    Raises:
        NotFound: There is none that the user is shown.
    """
    row = await _find(session, user_id, template_id)
    if row is None:
        raise NotFound("there is no such template")
    [version] = await versions.get(session, [(row["id"], row["version"])])
    return version


async def resolve(
    session: ReadSession,
    versions: Versions,
    user_id: uuid.UUID | None,
    submission: Submission,
    *,
    fall_back: bool,
) -> Resolved:
    """Checks a submission against its template and prices it.

    Args:
        session: Reads.
        versions: Keeps what was read.
        user_id: On whose behalf.
        submission: What is wanted.
        fall_back: Whether general stands in for a category that does not exist.

    Raises:
        UnknownTemplate: The user is shown none of that name.
        UnknownCategory: There is none of that name.
        CategoryDisabled: It takes no new jobs.
        InvalidArgument: With one violation per fault in inputs, outputs and variations.
    """
    named = await _named(session, user_id, submission.template_id)
    asked = submission.category or (named["category"] if named else GENERAL)
    category = await categories.find(session, asked, fall_back=fall_back)
    categories.require_enabled(category)
    row = named or await _named(session, user_id, category["default_template"])
    assert row is not None, "a category has a default template"
    [version] = await versions.get(session, [(row["id"], row["version"])])
    inputs, items = check(version, submission.inputs, submission.outputs, submission.variations)
    graph = with_style(version.template.graph, category["prompt_style"])
    return Resolved(version, category["id"], inputs, graph, items)


async def _named(session: ReadSession, user_id: uuid.UUID | None, template_id: str) -> Row | None:
    if not template_id:
        return None
    row = await _find(session, user_id, template_id)
    if row is None:
        known = ", ".join(await store.ids(session, user_id, KNOWN_MAX))
        raise UnknownTemplate(
            f"there is no template {template_id[:64]!r}; there are: {known}",
            template=template_id[:64],
            known=known,
        )
    return row


async def _find(session: ReadSession, user_id: uuid.UUID | None, template_id: str) -> Row | None:
    return await store.one(session, user_id, template_id) if is_name(template_id) else None
