"""Scenes in Korean."""

from __future__ import annotations

from inference.training.world.layouts import Layout, Placed
from inference.training.world.speaker import Speaker
from inference.training.world.vocabulary import Names

JOINED_SHARE = 0.2  # Korean names written without their space
_HANGUL_FIRST, _HANGUL_LAST, _FINALS = 0xAC00, 0xD7A3, 28
_PLACES = ("{} 위의 ", "{} 위에 있는 ", "{} 위 ", "{} 위에 놓인 ", "{}에 놓인 ")
_BEHIND = ("{} 앞 ", "{} 앞의 ", "{}을 배경으로 한 ")
# Ways to put two in order; {0} is the one further left, [와] the particle that fits it.
_PAIRS = (
    "{0}[와] {1}",
    "{0}[와] {1}",
    "{0} 그리고 {1}",
    "{1} 왼쪽에 {0}",
    "{0} 오른쪽에 {1}",
    "왼쪽에 {0}, 오른쪽에 {1}",
)
_NUMBERS = ("영", "한", "두", "세", "네")
# "+object" and "+subject" ask for the particle that fits the word before.
_CLOSINGS = (
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


def with_particle(words: str, particle: str) -> str:
    """Korean `words` with the particle that fits: object (을/를), subject (이/가), with (과/와)."""
    last = ord(words[-1])
    closed = _HANGUL_FIRST <= last <= _HANGUL_LAST and (last - _HANGUL_FIRST) % _FINALS != 0
    pair = {"object": ("을", "를"), "subject": ("이", "가"), "with": ("과", "와")}[particle]
    return words + pair[0 if closed else 1]


class Korean(Speaker):
    """A speaker of Korean."""

    language = "ko"

    def listed(
        self,
        objects: tuple[Placed, ...],
        colours: tuple[bool, ...],
        materials: tuple[bool, ...],
    ) -> str:
        flagged = zip(objects, colours, materials, strict=True)
        phrases = [self._thing(placed, colour, material) for placed, colour, material in flagged]
        if len(phrases) == 1:
            return phrases[0]
        if len(phrases) == 2:
            said = self.one_of(_PAIRS).format(*phrases)
            return said.replace(phrases[0] + "[와]", with_particle(phrases[0], "with"))
        return self.one_of(("", "", "왼쪽부터 ")) + ", ".join(phrases)

    def counted(self, placed: Placed, count: int, colour: bool, material: bool) -> str:
        words = self._thing(placed, colour, material)
        number = _NUMBERS[count]
        return self.one_of((f"{words} {number} 개", f"{number} 개의 {words}", f"{words} {count}개"))

    def placed(self, subject: str, layout: Layout, *, surface: bool, backdrop: bool) -> str:
        text = subject
        where = self.name(self.world.surface(layout.surface_id).names)
        behind = self.name(self.world.backdrop(layout.backdrop_id).names)
        tail = ""
        if surface and self.chance(0.8):
            text = self.one_of(_PLACES).format(where) + text
        elif surface:
            tail += f", {where} 위"
        if backdrop and self.chance(0.35):
            text = self.one_of(_BEHIND).format(behind) + text
        elif backdrop:
            tail += f", {behind}"
        closing = self.one_of(_CLOSINGS)
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

    def _thing(self, placed: Placed, colour: bool, material: bool) -> str:
        noun = self.name(self.world.thing(placed.object_id).names)
        if colour and not material and (flavour := self.flavour(placed)):
            return self.adorned(flavour)
        words = [self.name(self.world.colour(placed.colour_id).names)] if colour else []
        if material and placed.material_id:
            finish = self.name(self.world.material(placed.material_id).names)
            words.insert(int(self.rng.integers(len(words) + 1)), finish)
        if words and self.chance(0.2):
            noun = self.adorned(noun)
        return self.adorned(" ".join([*words, noun]))
