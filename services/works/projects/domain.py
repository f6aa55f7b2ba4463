"""Rules of projects."""

from __future__ import annotations

from dataclasses import dataclass

from kit.errors import FieldViolation, InvalidArgument

NAME_LENGTH_MAX = 100
DESCRIPTION_LENGTH_MAX = 2_000
VERTICAL_LENGTH_MAX = 50
LANGUAGES = ("ko", "en")
FIRST_PROJECT_NAME = {"ko": "내 첫 프로젝트", "en": "My first project"}


@dataclass(frozen=True)
class NewProject:
    """A checked project."""

    name: str
    description: str
    vertical: str
    language: str
    is_default: bool = False


def check_project(name: str, description: str, vertical: str, language: str) -> NewProject:
    """Checks a project and fills its defaults.

    Raises:
        InvalidArgument: With one violation per field.
    """
    language = language or "ko"
    limits = {
        "name": (1, NAME_LENGTH_MAX, name),
        "description": (0, DESCRIPTION_LENGTH_MAX, description),
        "vertical": (0, VERTICAL_LENGTH_MAX, vertical),
    }
    violations = [
        FieldViolation(field, f"must be {low} to {high:,} characters")
        for field, (low, high, value) in limits.items()
        if len(value.strip()) < low or len(value) > high
    ]
    if language not in LANGUAGES:
        violations.append(FieldViolation("language", "must be ko or en"))
    if violations:
        raise InvalidArgument("the project is not valid", violations=tuple(violations))
    return NewProject(name.strip(), description.strip(), vertical.strip(), language)


def first_project(locale: str) -> NewProject:
    """The project that every user has."""
    language = locale if locale in LANGUAGES else "ko"
    return NewProject(FIRST_PROJECT_NAME[language], "", "", language, is_default=True)
