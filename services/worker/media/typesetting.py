"""Breaking text into lines and finding the size at which it fits a box."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

SIZE_MIN = 6
SHRINK = 0.94  # from one tried size to the next
FEW_LINES = 2  # a slightly smaller text in two lines reads better than a large one in three
FEW_LINES_SIZE_SHARE = 0.72
ELLIPSIS = "…"
TEXT_LENGTH_MAX = 400  # no layout here shows more, and breaking lines costs time by length
_ABSENT = "\U0010ffff"

Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Box:
    """What a text may take.

    Attributes:
        width: In pixels.
        height: In pixels.
        lines: The most lines.
    """

    width: int
    height: int
    lines: int


@dataclass(frozen=True)
class Style:
    """How a text is set.

    Attributes:
        face: The font's file.
        size_max: The size that is tried first, in pixels.
        size_min: The smallest size; below it the text is cut.
        leading: Distance between lines, in sizes.
    """

    face: Path
    size_max: int
    size_min: int
    leading: float


@dataclass(frozen=True)
class Block:
    """A text that fits.

    Attributes:
        lines: Its lines; none where not even an ellipsis fits.
        font: The font at its size.
        leading: Distance between lines, in pixels.
    """

    lines: tuple[str, ...]
    font: Font
    leading: int

    @property
    def width(self) -> int:
        """In pixels, of the widest line."""
        return max((extent(line, self.font) for line in self.lines), default=0)

    @property
    def height(self) -> int:
        """In pixels, of all lines."""
        return self.leading * len(self.lines)


@lru_cache(maxsize=128)
def load_font(face: Path, size: int) -> Font:
    """Returns a font; layout without shaping serves Korean and Latin."""
    return ImageFont.truetype(str(face), size, layout_engine=ImageFont.Layout.BASIC)


def extent(line: str, font: Font) -> int:
    """Returns the width of a line's ink and advance, whichever is more, in pixels."""
    left, _, right, _ = font.getbbox(line, anchor="ls")
    return int(max(font.getlength(line), right) - min(left, 0) + 0.999)


def drawable(text: str, face: Path) -> str:
    """Returns the text composed (NFC), in single spaces, without characters that the font lacks."""
    composed = " ".join(unicodedata.normalize("NFC", text).split())[:TEXT_LENGTH_MAX]
    kept = "".join(character for character in composed if _has(face, character))
    return " ".join(kept.split())


@lru_cache(maxsize=8192)
def _has(face: Path, character: str) -> bool:
    font = load_font(face, 24)
    missing = bytes(font.getmask(_ABSENT))
    return character.isspace() or bytes(font.getmask(character)) != missing


def typeset(text: str, style: Style, box: Box) -> Block:
    """Sets a text as large as it fits: whole words first, then broken words, then cut short."""
    text = drawable(text, style.face)
    sizes = _sizes(style)
    large = [size for size in sizes if size >= FEW_LINES_SIZE_SHARE * style.size_max]
    few = min(FEW_LINES, box.lines)
    passes = ((True, few, large), (True, box.lines, sizes), (False, box.lines, sizes))
    for words_whole, lines, tried in passes:
        for size in tried:
            block = _block(text, style, size, box.width)
            broken = words_whole and _breaks_words(text, block.font, box.width)
            fits = block.width <= box.width and block.height <= box.height
            if fits and not broken and len(block.lines) <= lines:
                return _balanced(text, block, box.width)
    return _cut(_block(text, style, sizes[-1], box.width), box)


def _sizes(style: Style) -> list[int]:
    size, sizes = max(style.size_max, SIZE_MIN), []
    while size > max(style.size_min, SIZE_MIN):
        sizes.append(size)
        size = min(int(size * SHRINK), size - 1)
    return [*sizes, max(style.size_min, SIZE_MIN)]


def _block(text: str, style: Style, size: int, width: int) -> Block:
    font = load_font(style.face, size)
    leading = max(round(size * style.leading), sum(font.getmetrics()))  # never less than its ink
    return Block(tuple(wrap(text, font, width)), font, leading)


def wrap(text: str, font: Font, width: int) -> list[str]:
    """Breaks a text between words, and inside a word where it alone is wider than ``width``."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and extent(joined, font) <= width:
            lines[-1] = joined
        else:
            lines += _broken(word, font, width)
    return lines


def _broken(word: str, font: Font, width: int) -> list[str]:
    pieces = [""]
    for character in word:
        if pieces[-1] and extent(pieces[-1] + character, font) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _breaks_words(text: str, font: Font, width: int) -> bool:
    return any(extent(word, font) > width for word in text.split())


def _balanced(text: str, block: Block, width: int) -> Block:
    """Narrows the lines while their number stays, so that no line is left with one word."""
    low, high = 1, width
    while low < high:
        middle = (low + high) // 2
        if len(wrap(text, block.font, middle)) <= len(block.lines):
            high = middle
        else:
            low = middle + 1
    return Block(tuple(wrap(text, block.font, high)), block.font, block.leading)


def _cut(block: Block, box: Box) -> Block:
    room = min(box.lines, box.height // max(block.leading, 1))
    lines = list(block.lines[:room])
    if lines and len(lines) < len(block.lines):
        lines[-1] = _ellipsis(lines[-1], block.font, box.width)
    whole = all(extent(line, block.font) <= box.width for line in lines)
    return Block(tuple(lines) if whole else (), block.font, block.leading)


def _ellipsis(line: str, font: Font, width: int) -> str:
    while line and extent(line + ELLIPSIS, font) > width:
        line = line[:-1]
    return line.rstrip() + ELLIPSIS
