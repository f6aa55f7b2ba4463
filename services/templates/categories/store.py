"""SQL of categories."""

from __future__ import annotations

from collections.abc import Sequence

from kit.database import ReadSession, Row, Session
from services.templates.categories.domain import Category

_COLUMNS = """
    id, title_ko, title_en, is_enabled, workers_max, prompt_style, default_template, revision
"""
_ALL = f"SELECT {_COLUMNS} FROM category ORDER BY position, id LIMIT 1000"
_ONE = f"SELECT {_COLUMNS} FROM category WHERE id = :id"
_NAMES = "SELECT id FROM category ORDER BY position, id LIMIT 1000"
_PUT = f"""
    INSERT INTO category (id, title_ko, title_en, is_enabled, workers_max, prompt_style, position,
                          default_template)
    VALUES (:id, :title_ko, :title_en, :is_enabled, :workers_max, :prompt_style, :position,
            :default_template)
    ON CONFLICT (id) DO UPDATE SET
        title_ko = excluded.title_ko, title_en = excluded.title_en,
        is_enabled = excluded.is_enabled, workers_max = excluded.workers_max,
        prompt_style = excluded.prompt_style, position = excluded.position,
        default_template = excluded.default_template,
        revision = category.revision + 1, updated_at = app_now()
    WHERE (category.title_ko, category.title_en, category.is_enabled, category.workers_max,
           category.prompt_style, category.position, category.default_template)
        IS DISTINCT FROM
          (excluded.title_ko, excluded.title_en, excluded.is_enabled, excluded.workers_max,
           excluded.prompt_style, excluded.position, excluded.default_template)
    RETURNING {_COLUMNS}
"""


async def every(session: ReadSession) -> Sequence[Row]:
    """Reads all categories in their order."""
    return await session.all(_ALL)


async def one(session: ReadSession, category_id: str) -> Row | None:
    """Reads a category."""
    return await session.first(_ONE, id=category_id)


async def names(session: ReadSession) -> list[str]:
    """Reads the names of all categories."""
    return [row["id"] for row in await session.all(_NAMES)]


async def put(session: Session, category: Category) -> Row | None:
    """Writes a category under its next revision; None where nothing changed."""
    return await session.first(
        _PUT,
        id=category.id,
        title_ko=category.title.ko,
        title_en=category.title.en,
        is_enabled=category.enabled,
        workers_max=category.workers_max,
        prompt_style=category.prompt_style,
        position=category.order,
        default_template=category.default_template,
    )
