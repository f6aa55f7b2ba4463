"""Scenes in English."""

from __future__ import annotations

from inference.training.world.layouts import Layout, Placed
from inference.training.world.speaker import Speaker

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
# Ways to put two in order; {0} is the one further left.
_PAIRS = (
    "{0} and {1}",
    "{0} and {1}",
    "{0} next to {1}",
    "{0} to the left of {1}",
    "{1} to the right of {0}",
    "{0} on the left and {1} on the right",
)
_NUMBERS = ("no", "one", "two", "three", "four")
_PLURAL_ES = ("s", "x", "ch", "sh")


def article(words: str) -> str:
    """The indefinite article that `words` take."""
    return "an" if words[0] in "aeiou" else "a"


def plural(words: str) -> str:
    """English `words` in the plural: "cups of coffee", "gift boxes"."""
    noun, of, rest = words.partition(" of ")
    return noun + ("es" if noun.endswith(_PLURAL_ES) else "s") + of + rest


class English(Speaker):
    """A speaker of English."""

    language = "en"

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
            return self.one_of(_PAIRS).format(*phrases)
        words = ", ".join(phrases[:-1]) + self.one_of((" and ", ", and ", ", ")) + phrases[-1]
        return words + self.one_of(("", "", " from left to right"))

    def counted(self, placed: Placed, count: int, colour: bool, material: bool) -> str:
        words = plural(self.name(self.world.thing(placed.object_id).names))
        return f"{_NUMBERS[count]} {self._qualified(placed, words, colour, material)}"

    def placed(self, subject: str, layout: Layout, *, surface: bool, backdrop: bool) -> str:
        text = self.one_of(_OPENINGS) + subject
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

    def _thing(self, placed: Placed, colour: bool, material: bool) -> str:
        noun = self.name(self.world.thing(placed.object_id).names)
        if colour and not material:
            if flavour := self.flavour(placed):
                return self._determined(self.adorned(flavour))
            if self.chance(0.1):
                said = self.name(self.world.colour(placed.colour_id).names)
                return self._determined(noun) + self.one_of((" that is ", ", ", " in ")) + said
        return self._determined(self.adorned(self._qualified(placed, noun, colour, material)))

    def _qualified(self, placed: Placed, noun: str, colour: bool, material: bool) -> str:
        words = [self.name(self.world.colour(placed.colour_id).names)] if colour else []
        if material and placed.material_id:
            finish = self.name(self.world.material(placed.material_id).names)
            words.insert(int(self.rng.integers(len(words) + 1)), finish)
        return " ".join([*words, noun])

    def _determined(self, words: str) -> str:
        indefinite = f"{article(words)} {words}"
        return self.one_of((indefinite, indefinite, indefinite, words, f"the {words}"))
