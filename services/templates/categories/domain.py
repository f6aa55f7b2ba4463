"""Rules of categories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from kit.errors import DomainError

GENERAL = "general"
STYLE_LENGTH_MAX = 500
WORKERS_MAX = 1_000
NAME_LENGTH_MAX = 64
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
STRICT: dict[str, Any] = {"extra": "forbid", "strict": True}


class UnknownCategory(DomainError):
    """The category does not exist."""

    reason = "UNKNOWN_CATEGORY"


class CategoryDisabled(DomainError):
    """The category takes no new jobs at present."""

    reason = "CATEGORY_DISABLED"


def is_name(text: str) -> bool:
    """Whether a text can name a category or a template: lower-case words joined by hyphens."""
    return len(text) <= NAME_LENGTH_MAX and _NAME.fullmatch(text) is not None


@dataclass(frozen=True)
class Text:
    """The same sentence in both languages."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    ko: str
    en: str


@dataclass(frozen=True)
class Category:
    """A production path, as its file states it.

    Attributes:
        id: Its name.
        title: What to call it.
        enabled: Whether it takes new jobs.
        workers_max: Items that may run at once.
        prompt_style: English words that suit the path, for image prompts.
        order: Its place in lists.
        default_template: Used where a submission names none.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    id: str
    title: Text
    enabled: bool
    workers_max: int
    prompt_style: str
    order: int
    default_template: str


def faults(category: Category) -> Iterator[str]:
    """Yields what is wrong with a category, one sentence each."""
    if not is_name(category.id):
        yield "id: must be lower-case words joined by hyphens"
    if not 1 <= category.workers_max <= WORKERS_MAX:
        yield f"workers_max: must be 1 to {WORKERS_MAX:,}"
    if len(category.prompt_style) > STYLE_LENGTH_MAX:
        yield f"prompt_style: must be at most {STYLE_LENGTH_MAX} characters"
    if "$" in category.prompt_style:
        yield "prompt_style: must be plain words, without $"
