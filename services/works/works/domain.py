"""Rules of works: states, titles, tags, file names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kit.errors import FieldViolation, InvalidArgument, WrongState

TITLE_LENGTH_MAX = 200
TAGS_MAX = 20
TAG_LENGTH_MAX = 50
FIRST_TAGS_MAX = 5

# Each state and the states that may follow it; drawn in docs/states.md.
TRANSITIONS: dict[str, frozenset[str]] = {
    "draft": frozenset({"pending"}),
    "pending": frozenset({"processing", "completed", "failed", "canceled"}),
    "processing": frozenset({"completed", "failed", "canceled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "canceled": frozenset(),
}
FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "application/json": "json",
    "application/pdf": "pdf",
    "video/mp4": "mp4",
}
_WORD = re.compile(r"\w{2,}")


def before(state: str) -> list[str]:
    """Returns the states from which ``state`` may be reached."""
    return sorted(source for source, targets in TRANSITIONS.items() if state in targets)


def first_title(text: str) -> str:
    """Makes a title of a request's text: its first line, cut to length."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line[:TITLE_LENGTH_MAX]


def first_tags(text: str) -> list[str]:
    """Makes tags of a request's text: its first words, each once."""
    words = (word.lower()[:TAG_LENGTH_MAX] for word in _WORD.findall(text))
    return list(dict.fromkeys(words))[:FIRST_TAGS_MAX]


def check_title(title: str) -> str:
    """Checks a new title.

    Raises:
        InvalidArgument: It is empty or too long.
    """
    if len(title) > TITLE_LENGTH_MAX or not title.strip():
        raise InvalidArgument.of("title", f"must be 1 to {TITLE_LENGTH_MAX} characters")
    return title.strip()


def check_tags(tags: Sequence[str]) -> list[str]:
    """Checks new tags; doubles are dropped.

    Raises:
        InvalidArgument: There are too many, or one is empty or too long.
    """
    cleaned = list(dict.fromkeys(tag.strip() for tag in tags))
    violations = [
        FieldViolation(f"tags.values[{index}]", f"must be 1 to {TAG_LENGTH_MAX} characters")
        for index, tag in enumerate(tags)
        if len(tag) > TAG_LENGTH_MAX or not tag.strip()
    ]
    if len(cleaned) > TAGS_MAX:
        violations.append(FieldViolation("tags.values", f"at most {TAGS_MAX}"))
    if violations:
        raise InvalidArgument("the tags are not valid", violations=tuple(violations))
    return cleaned


def check_completed(state: str) -> None:
    """Refuses what needs a finished file.

    Raises:
        WrongState: The work is not completed.
    """
    if state != "completed":
        raise WrongState(f"the work is {state}, not completed", state=state)


def check_deletable(state: str) -> None:
    """Refuses to delete what is still being made.

    Raises:
        WrongState: Its job is not final.
    """
    if state not in FINAL:
        raise WrongState(f"the work is {state}: cancel its job first", state=state)


def file_name(title: str, work_id: object, content_type: str) -> str:
    """Makes an ASCII name to save a file under."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()
    extension = _EXTENSIONS.get(content_type, "bin")
    return f"{words or 'work'}-{str(work_id)[-8:]}.{extension}"
