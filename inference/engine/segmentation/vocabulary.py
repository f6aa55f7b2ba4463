"""Korean concepts in English, for models that know English only. Standard library only.

``vocabulary.json`` holds the nouns of the presets and of the bundled world, colours and materials.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

from inference.engine.errors import InvalidRequest

_FILE = Path(__file__).with_name("vocabulary.json")
_HANGUL = re.compile(r"[가-힣]")
_ARTICLE = re.compile(r"^(the|a|an)\s+", re.IGNORECASE)


def asked_as(concept: str, languages: Collection[str], field: str = "concepts") -> str:
    """Returns the words to give to a model.

    Args:
        concept: What the caller named, in Korean or English.
        languages: "en", "ko": those that the model knows.
        field: Named in a refusal.

    Raises:
        InvalidRequest: The model knows no Korean, and we no English for it.
    """
    words = " ".join(concept.split())
    if not _HANGUL.search(words):
        return _ARTICLE.sub("", words)
    if "ko" in languages:
        return words
    english = to_english(words)
    if english is None:
        raise InvalidRequest(
            f"{field}: this model knows English only, and there is no English for {words!r} here",
            field=field,
        )
    return english


def to_english(words: str) -> str | None:
    """Translates a noun with what stands before it, or says that it cannot.

    The longest known run of words is taken first, so that "커피 한 잔" is one thing.
    """
    known, parts, said = _korean(), words.split(), []
    while parts:
        length = next((n for n in range(len(parts), 0, -1) if " ".join(parts[:n]) in known), 0)
        if not length:
            return None
        said.append(known[" ".join(parts[:length])])
        parts = parts[length:]
    return " ".join(said)


@cache
def _korean() -> dict[str, str]:
    read: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))["ko"]
    return read
