"""Use cases of categories."""

from __future__ import annotations

from collections.abc import Sequence

from atelier.templates.v1 import events_pb2

from kit.database import ReadSession, Row, Session
from services.templates.categories import store
from services.templates.categories.domain import (
    GENERAL,
    Category,
    CategoryDisabled,
    UnknownCategory,
    is_name,
)


async def put_all(session: Session, categories: Sequence[Category]) -> list[str]:
    """Writes categories and says what changed, to whoever enforces limits too.

    Returns:
        The names of those that changed.
    """
    changed = []
    for category in sorted(categories, key=lambda category: category.id):
        row = await store.put(session, category)
        if row is not None:
            await session.publish(
                events_pb2.CategoryChanged(
                    category=row["id"],
                    enabled=row["is_enabled"],
                    workers_max=row["workers_max"],
                    revision=row["revision"],
                )
            )
            changed.append(category.id)
    return changed


async def find(session: ReadSession, category_id: str, *, fall_back: bool) -> Row:
    """Reads a category by name.

    Args:
        session: Reads.
        category_id: Its name.
        fall_back: Whether general stands in for a name that does not exist.

    Raises:
        UnknownCategory: There is none of that name; the message names those that exist.
    """
    row = await store.one(session, category_id) if is_name(category_id) else None
    if row is None and fall_back:
        row = await store.one(session, GENERAL)
    if row is None:
        known = ", ".join(await store.names(session))
        raise UnknownCategory(
            f"there is no category {category_id[:64]!r}; there are: {known}",
            category=category_id[:64],
            known=known,
        )
    return row


def require_enabled(category: Row) -> None:
    """Refuses new jobs of a closed category.

    Raises:
        CategoryDisabled: It is closed.
    """
    if not category["is_enabled"]:
        raise CategoryDisabled(
            f"the category {category['id']} takes no new jobs at present", category=category["id"]
        )
