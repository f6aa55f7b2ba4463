"""Captions of a scene as people write them, English and Korean, sometimes saying less than all.

Part of them carry words of praise, style words and invented words, so that the text encoders learn
to pass over what the world does not know.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np

from inference.training.scenes import Layout, Placed
from inference.training.vocabulary import Names, World, load_world

KOREAN_SHARE = 0.3
COLOUR_SHARE = 0.93
SURFACE_SHARE = 0.7
BACKDROP_SHARE = 0.5
STYLE_SHARE = 0.25
PRAISE_SHARE = 0.15
INVENTED_SHARE = 0.12
FIRST_NAME_SHARE = 0.65
FLAVOUR_SHARE = 0.35
JOINED_SHARE = 0.2  # Korean names written without their space
_HANGUL_FIRST, _HANGUL_LAST, _FINALS = 0xAC00, 0xD7A3, 28
_OPENINGS = (
    "",
    "",
    "",
    "a photo of ",
    "product photo of ",
    "studio shot of ",
    "photo of ",
    "an ad with ",
    "advert photo of ",
    "a poster for ",
    "draw ",
    "please draw ",
    "make an ad for ",
    "a picture of ",
)
_PLACES = (" on {}", " on {}", " on {}", " standing on {}", " placed on {}")
_BEHIND = (", {}", ", {}", ", {} behind", " in front of {}", " with {}")
_KO_PLACES = ("{} 위의 ", "{} 위에 있는 ", "{} 위 ", "{} 위에 놓인 ", "{}에 놓인 ")
_KO_BEHIND = ("{} 앞 ", "{} 앞의 ", "{}을 배경으로 한 ")
# "+object" and "+subject" ask for the particle that fits the word before.
_KO_CLOSINGS = (
    "",
    "",
    "",
    " 사진",
    " 제품 사진",
    " 광고 사진",
    " 그려줘",
    " 광고",
    " 포스터",
    " 이미지 만들어줘",
    "+object 그려줘",
    "+object 홍보하는 포스터",
    "+object 강조한 사진",
    "+subject 있는 사진",
)


@dataclass(frozen=True)
class Caption:
    """A caption and which attributes its words name. One flag per object for the colour."""

    text: str
    language: str
    names_colour: tuple[bool, ...]
    names_surface: bool
    names_backdrop: bool


def caption(
    layout: Layout,
    rng: np.random.Generator,
    language: str | None = None,
    world: World | None = None,
) -> Caption:
    """One of many ways to ask for `layout`; the language is drawn 70/30 unless given."""
    known = world or load_world()
    spoken = language or ("ko" if rng.random() < KOREAN_SHARE else "en")
    named = tuple(bool(rng.random() < COLOUR_SHARE) for _ in layout.objects)
    surface = bool(rng.random() < SURFACE_SHARE)
    backdrop = bool(rng.random() < BACKDROP_SHARE)
    speaker = _Korean(known, rng) if spoken == "ko" else _English(known, rng)
    text = speaker.say(layout, named, surface=surface, backdrop=backdrop)
    return Caption(text, spoken, named, surface, backdrop)


def article(words: str) -> str:
    """The indefinite article that `words` take."""
    return "an" if words[0] in "aeiou" else "a"


def with_particle(words: str, particle: str) -> str:
    """Korean `words` with the "object" (을/를) or "subject" (이/가) particle that fits."""
    last = ord(words[-1])
    closed = _HANGUL_FIRST <= last <= _HANGUL_LAST and (last - _HANGUL_FIRST) % _FINALS != 0
    pair = {"object": ("을", "를"), "subject": ("이", "가")}[particle]
    return words + pair[0 if closed else 1]


class _Speaker(abc.ABC):
    """Chooses words of one language for one caption."""

    language: str

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng

    def name(self, names: Names) -> str:
        """The first name mostly, else any."""
        words = names[self.language]
        return words[0] if self.chance(FIRST_NAME_SHARE) else self.one_of(words)

    def one_of(self, options: tuple[str, ...]) -> str:
        """One of `options`, evenly."""
        return options[int(self.rng.integers(len(options)))]

    def chance(self, share: float) -> bool:
        """True with probability `share`."""
        return bool(self.rng.random() < share)

    def adorned(self, phrase: str) -> str:
        """`phrase`, at times with a word of praise or an invented word before it."""
        if self.chance(PRAISE_SHARE):
            phrase = f"{self.one_of(self.world.praise[self.language])} {phrase}"
        if self.chance(INVENTED_SHARE):
            phrase = f"{self.invented()} {phrase}"
        return phrase

    def styled(self, text: str) -> str:
        """`text`, at times with a style phrase or invented words around it."""
        if self.chance(STYLE_SHARE):
            style = self.one_of(self.world.styles[self.language])
            text = f"{text}, {style}" if self.chance(0.7) else f"{style}, {text}"
        if self.chance(INVENTED_SHARE):
            words = " ".join(self.invented() for _ in range(int(self.rng.integers(1, 4))))
            text = f"{text}{self.one_of((' ', ', '))}{words}"
        return text.strip()

    def flavour(self, placed: Placed) -> str | None:
        """At times a name that says colour and object at once, if there is one."""
        flavours = self.world.thing(placed.object_id).flavours.get(placed.colour_id)
        return self.name(flavours) if flavours and self.chance(FLAVOUR_SHARE) else None

    @abc.abstractmethod
    def invented(self) -> str:
        """A word that means nothing."""


class _English(_Speaker):
    language = "en"

    def say(self, layout: Layout, named: tuple[bool, ...], *, surface: bool, backdrop: bool) -> str:
        phrases = [self._thing(p, n) for p, n in zip(layout.objects, named, strict=True)]
        text = self.one_of(_OPENINGS) + self.one_of((" and ", " next to ")).join(phrases)
        if surface:
            words = self.name(self.world.surface(layout.surface_id).names)
            text += self.one_of(_PLACES).format(self._determined(words))
        if backdrop:
            words = self.name(self.world.backdrop(layout.backdrop_id).names)
            text += self.one_of(_BEHIND).format(self._determined(words))
        return self.styled(text)

    def invented(self) -> str:
        letters = self.rng.integers(ord("a"), ord("z") + 1, int(self.rng.integers(2, 9)))
        return "".join(chr(letter) for letter in letters)

    def _thing(self, placed: Placed, named: bool) -> str:
        noun = self.name(self.world.thing(placed.object_id).names)
        if not named:
            return self._determined(self.adorned(noun))
        if flavour := self.flavour(placed):
            return self._determined(self.adorned(flavour))
        colour = self.name(self.world.colour(placed.colour_id).names)
        if self.chance(0.1):
            return self._determined(noun) + self.one_of((" that is ", ", ", " in ")) + colour
        if self.chance(0.05):
            return self._determined(f"{colour}, {self.adorned(noun)}")
        return self._determined(self.adorned(f"{colour} {noun}"))

    def _determined(self, words: str) -> str:
        indefinite = f"{article(words)} {words}"
        return self.one_of((indefinite, indefinite, indefinite, words, f"the {words}"))


class _Korean(_Speaker):
    language = "ko"

    def say(self, layout: Layout, named: tuple[bool, ...], *, surface: bool, backdrop: bool) -> str:
        phrases = [self._thing(p, n) for p, n in zip(layout.objects, named, strict=True)]
        text = self.one_of((" 그리고 ", ", ")).join(phrases)
        where = self.name(self.world.surface(layout.surface_id).names)
        behind = self.name(self.world.backdrop(layout.backdrop_id).names)
        tail = ""
        if surface and self.chance(0.8):
            text = self.one_of(_KO_PLACES).format(where) + text
        elif surface:
            tail += f", {where} 위"
        if backdrop and self.chance(0.35):
            text = self.one_of(_KO_BEHIND).format(behind) + text
        elif backdrop:
            tail += f", {behind}"
        closing = self.one_of(_KO_CLOSINGS)
        if closing.startswith("+"):
            particle, _, rest = closing[1:].partition(" ")
            return self.styled(f"{with_particle(text, particle)} {rest}{tail}")
        return self.styled(text + closing + tail)

    def invented(self) -> str:
        letters = self.rng.integers(_HANGUL_FIRST, _HANGUL_LAST + 1, int(self.rng.integers(1, 4)))
        return "".join(chr(letter) for letter in letters)

    def name(self, names: Names) -> str:
        words = super().name(names)
        return words.replace(" ", "") if self.chance(JOINED_SHARE) else words

    def _thing(self, placed: Placed, named: bool) -> str:
        noun = self.name(self.world.thing(placed.object_id).names)
        if not named:
            return self.adorned(noun)
        if flavour := self.flavour(placed):
            return self.adorned(flavour)
        colour = self.name(self.world.colour(placed.colour_id).names)
        return self.adorned(f"{colour} {self.adorned(noun) if self.chance(0.2) else noun}")
