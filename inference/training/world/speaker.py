"""What both languages have in common when a scene is put into words."""

from __future__ import annotations

import abc

import numpy as np

from inference.training.world.layouts import Layout, Placed
from inference.training.world.vocabulary import Names, World

STYLE_SHARE = 0.25
PRAISE_SHARE = 0.15
INVENTED_SHARE = 0.12
FIRST_NAME_SHARE = 0.65
FLAVOUR_SHARE = 0.35


class Speaker(abc.ABC):
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
    def listed(
        self,
        objects: tuple[Placed, ...],
        colours: tuple[bool, ...],
        materials: tuple[bool, ...],
    ) -> str:
        """All objects one by one; the flags say whether to name colour and material."""

    @abc.abstractmethod
    def counted(self, placed: Placed, count: int, colour: bool, material: bool) -> str:
        """`count` of the same object."""

    @abc.abstractmethod
    def placed(self, subject: str, layout: Layout, *, surface: bool, backdrop: bool) -> str:
        """The whole caption: `subject` where it stands."""

    @abc.abstractmethod
    def invented(self) -> str:
        """A word that means nothing."""
