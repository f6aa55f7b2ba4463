"""Words and patterns of one language, and sorting a request's words by what they do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_PERCENT = re.compile(r"\d{1,3}\s?%")
_DEAL = re.compile(r"\b\d\s?\+\s?\d\b")
_TOKEN = re.compile(r"[\w%+'’-]+")
PRODUCT_WORDS_MAX = 3
PRODUCT_LENGTH_MAX = {"ko": 12, "en": 22}


@dataclass(frozen=True)
class Words:
    """One language's data.

    Attributes:
        language: ``ko`` or ``en``.
        groups: Words by what they do: ask, new, promotion, place, stop, particles.
        data: Everything of the file.
    """

    language: str
    groups: Mapping[str, tuple[str, ...]]
    data: Mapping[str, Any]

    def is_a(self, group: str, token: str) -> bool:
        """Whether a word of a text belongs to a group; Korean words carry endings."""
        token = token.lower()
        if self.language == "en":
            return token.rstrip("s") in self.groups[group] or token in self.groups[group]
        return any(_is_form(token, word) for word in self.groups[group])

    def only_asks(self, token: str) -> bool:
        """Whether a word says only that something is to be made, and how nicely."""
        return any(self.is_a(group, token) for group in ("ask", "stop", "place"))

    def bare(self, token: str) -> str:
        """Returns a word without its particle, if at least two letters are left."""
        for particle in self.groups["particles"]:
            if token.endswith(particle) and len(token) - len(particle) >= 2:
                return token[: -len(particle)]
        return token

    def season(self, text: str) -> str:
        """Returns the season or feast that a text names, or nothing."""
        tokens = _TOKEN.findall(text.lower())
        for season, names in self.data["seasons"].items():
            if any(_is_form(token, name) for token in tokens for name in names):
                return str(season)
        return ""

    def tone(self, tone: str) -> str:
        """Returns ``premium``, ``lively`` or nothing."""
        lowered = tone.lower()
        for name, words in self.data["tones"].items():
            if any(word in lowered for word in words):
                return str(name)
        return ""


def _is_form(token: str, word: str) -> bool:
    """Whether a token is a word, with an ending of at most five letters if it is Korean."""
    if word.isascii():
        return token in (word, f"{word}s", f"{word}'s")
    if len(word) == 1:
        return token == word or (token[:1] == word and token[1:] in ("을", "은", "이", "의", "에"))
    return token.startswith(word) and len(token) - len(word) <= 5


@cache
def load_words(language: str) -> Words:
    """Reads the data of a language."""
    path = Path(__file__).with_name(f"copy.{language}.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    groups = {name: tuple(words) for name, words in data["words"].items()}
    return Words(language, groups, data)


@dataclass(frozen=True)
class Brief:
    """What a request says, as far as patterns need it; empty where it says nothing.

    Attributes:
        product: What is advertised, as the text calls it.
        percent: For example ``30%``.
        deal: For example ``1+1``.
        promotion: The word for it, for example ``할인``.
        season: A season or feast.
        place: What the business is, for example ``카페``.
        is_new: Whether it is said to be new.
    """

    product: str
    percent: str
    deal: str
    promotion: str
    season: str
    place: str
    is_new: bool


def read_brief(text: str, words: Words) -> Brief:
    """Reads a request in the language of ``words``."""
    percent, deal = _PERCENT.search(text), _DEAL.search(text)
    tokens = _TOKEN.findall(text)
    return Brief(
        product=_product(tokens, words),
        percent=percent.group().replace(" ", "") if percent else "",
        deal=deal.group().replace(" ", "") if deal else "",
        promotion=_first(tokens, "promotion", words),
        season=words.season(text),
        place=_first(tokens, "place", words),
        is_new=any(words.is_a("new", token) for token in tokens),
    )


def _first(tokens: Sequence[str], group: str, words: Words) -> str:
    for token in tokens:
        for word in words.groups[group]:
            if token.lower() == word or (words.language == "ko" and _is_form(token, word)):
                return word
    return ""


def _product(tokens: Sequence[str], words: Words) -> str:
    """Returns the longest run of words that do nothing else; of equal ones the last."""
    runs: list[list[str]] = [[]]
    for token in tokens:
        if _names_product(token, words):
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    run = max(reversed(runs), key=len)[-PRODUCT_WORDS_MAX:]
    if run:
        run[-1] = words.bare(run[-1])
    while len(" ".join(run)) > PRODUCT_LENGTH_MAX[words.language] and len(run) > 1:
        run = run[1:]
    return " ".join(run)[: PRODUCT_LENGTH_MAX[words.language]].strip()


def _names_product(token: str, words: Words) -> bool:
    if _PERCENT.search(token) or _DEAL.search(token) or token.isdigit() or words.season(token):
        return False
    return not any(
        words.is_a(group, token) for group in ("ask", "new", "promotion", "place", "stop")
    )
