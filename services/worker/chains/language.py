"""Which language a text is in, and the small grammar that patterns need."""

from __future__ import annotations

import re

_HANGUL = re.compile(r"[가-힣ㄱ-ㅎㅏ-ㅣ]")
_SYLLABLES = range(0xAC00, 0xD7A4)
_FINALS = 28
# Unicode 3.12: a syllable's final consonant is its index modulo 28; 8 is ㄹ.
_RIEUL = 8
_PARTICLES = {
    "을": ("을", "를"),
    "이": ("이", "가"),
    "은": ("은", "는"),
    "과": ("과", "와"),
    "으로": ("으로", "로"),
}
_MARK = re.compile(r"\[(을|이|은|과|으로)\]")


def detect(text: str) -> str:
    """Returns ``ko`` where a text has any Korean letter, else ``en``."""
    return "ko" if _HANGUL.search(text) else "en"


def resolve(language: str, text: str) -> str:
    """Returns the language asked for; ``auto`` means that of the text."""
    return language if language in ("ko", "en") else detect(text)


def with_particles(text: str) -> str:
    """Replaces marks such as ``[을]`` by the form that fits the letter before."""
    while mark := _MARK.search(text):
        before = text[: mark.start()].rstrip("\"')”’")
        form = _form(before[-1:], mark.group(1))
        text = text[: mark.start()] + form + text[mark.end() :]
    return text


def _form(letter: str, particle: str) -> str:
    after_consonant, after_vowel = _PARTICLES[particle]
    if not letter or ord(letter) not in _SYLLABLES:
        return after_vowel
    final = (ord(letter) - _SYLLABLES.start) % _FINALS
    if particle == "으로" and final == _RIEUL:
        return after_vowel
    return after_consonant if final else after_vowel
