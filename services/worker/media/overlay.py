"""Laying advert text over a picture: sized to fit, readable on whatever is below it."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from services.worker.media.contrast import Pixels, Rgb, Tone, choose_tone, measure, veiled
from services.worker.media.typesetting import Block, Box, Style, typeset

MARGIN_SHARE = 0.07  # of the shorter side
TEXT_HEIGHT_SHARE = 0.44
HEADLINE_HEIGHT_SHARE = 0.68  # of the text's height
WIDE_RATIO = 1.2
# Sizes in shares of the square root of the picture's area.
HEADLINE_SIZES = (0.096, 0.042)
SUBLINE_SIZES = (0.044, 0.028)
RAMP_SHARE = 0.75  # of the text's height, over which the veil fades
FROST_RADIUS_SHARE = 0.018
SHADOW_OPACITY = 0.42
HUE_BINS = 12


@dataclass(frozen=True)
class Faces:
    """The font files.

    Attributes:
        headline: For headlines.
        subline: For everything smaller.
    """

    headline: Path
    subline: Path

    @classmethod
    def of(cls, directory: Path) -> Faces:
        """Returns the fonts of a folder.

        Raises:
            FileNotFoundError: It lacks one.
        """
        faces = cls(directory / "NanumGothicExtraBold.ttf", directory / "NanumGothicBold.ttf")
        for path in (faces.headline, faces.subline):
            if not path.is_file():
                raise FileNotFoundError(f"there is no font {path}")
        return faces


@dataclass(frozen=True)
class Overlaid:
    """A picture with text.

    Attributes:
        picture: RGB, of the same size.
        box: Left, top, right, bottom of all text and its accent, in pixels.
        contrast: Of the letters over the worst 2 % of what is under them; at least 4.5.
        lines: The lines as they stand, headline first.
    """

    picture: Image.Image
    box: tuple[int, int, int, int]
    contrast: float
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Setting:
    """Where everything stands, in pixels."""

    headline: Block
    subline: Block
    left: int
    top: int
    width: int
    bar: int
    gap: int

    @property
    def headline_top(self) -> int:
        return self.top + self.bar + round(self.gap * 0.8 if self.bar else 0)

    @property
    def subline_top(self) -> int:
        return self.headline_top + self.headline.height + (self.gap if self.subline.lines else 0)

    @property
    def bottom(self) -> int:
        return self.subline_top + self.subline.height

    @property
    def box(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.left + self.width, self.bottom


def lay(picture: Image.Image, headline: str, subline: str, position: str, faces: Faces) -> Overlaid:
    """Lays a headline and a subline over a picture.

    Args:
        picture: RGB, of any size.
        headline: Cut with an ellipsis where it does not fit at the smallest size.
        subline: The same; may be empty.
        position: ``top`` or ``bottom``.
        faces: The fonts.
    """
    setting = _set(picture.size, headline, subline, position, faces)
    if not setting.headline.lines and not setting.subline.lines:
        return Overlaid(picture.convert("RGB"), (0, 0, 0, 0), math.inf, ())
    pixels = np.asarray(picture.convert("RGB"))
    region = _region(pixels, setting)
    tone = choose_tone(region)
    base = _veil(pixels, setting, tone, position)
    contrast = measure(tone.text, _region(base, setting), is_light=tone.is_light)
    letters = _letters(picture.size, setting)
    result = _shadow(Image.fromarray(base), letters, tone, setting.headline.font.size)
    result.paste(tone.text, (0, 0), letters)
    _accent(result, setting, _accent_colour(pixels, is_light=tone.is_light))
    lines = setting.headline.lines + setting.subline.lines
    return Overlaid(result, setting.box, contrast, lines)


def _set(
    size: tuple[int, int], headline: str, subline: str, position: str, faces: Faces
) -> _Setting:
    width, height = size
    base = math.sqrt(width * height)
    margin = round(MARGIN_SHARE * min(size))
    room, tall = width - 2 * margin, round(TEXT_HEIGHT_SHARE * height)
    bar, gap = max(round(base * 0.009), 1), round(base * 0.022)
    lines = 2 if width > WIDE_RATIO * height else 3
    head_room = tall - bar - gap if not subline.strip() else round(tall * HEADLINE_HEIGHT_SHARE)
    head = typeset(
        headline, _style(faces.headline, HEADLINE_SIZES, base, 1.22), Box(room, head_room, lines)
    )
    left_over = tall - bar - 2 * gap - head.height
    sub = typeset(
        subline, _style(faces.subline, SUBLINE_SIZES, base, 1.38), Box(room, left_over, 2)
    )
    setting = _Setting(
        head, sub, margin, 0, max(head.width, sub.width), bar if head.lines else 0, gap
    )
    top = margin if position == "top" else height - margin - setting.bottom
    return _Setting(head, sub, margin, max(top, 0), setting.width, setting.bar, gap)


def _style(face: Path, sizes: tuple[float, float], base: float, leading: float) -> Style:
    largest, smallest = sizes
    return Style(face, round(largest * base), round(smallest * base), leading)


def _region(pixels: Pixels, setting: _Setting) -> Pixels:
    left, top, right, bottom = setting.box
    return pixels[top : max(bottom, top + 1), left : max(right, left + 1)]


def _veil(pixels: Pixels, setting: _Setting, tone: Tone, position: str) -> Pixels:
    """Lays the veil from the picture's edge to the text's far side, then lets it fade."""
    rows = np.arange(pixels.shape[0], dtype=np.float64)
    _, top, _, bottom = setting.box
    ramp = max(RAMP_SHARE * (bottom - top), 1.0)
    outside = rows - bottom if position == "top" else top - rows
    fade = np.clip(1.0 - outside / ramp, 0.0, 1.0)
    smooth = (fade * fade * (3.0 - 2.0 * fade))[:, None, None]
    return veiled(_frosted(pixels, tone.frost * smooth), tone.veil, tone.opacity * smooth)


def _frosted(pixels: Pixels, share: NDArray[np.float64]) -> Pixels:
    """Blends pixels with a blurred copy: fine texture hides letters even where contrast is high."""
    if not share.max() > 0.02:
        return pixels
    radius = FROST_RADIUS_SHARE * math.sqrt(pixels.shape[0] * pixels.shape[1])
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))
    return np.asarray(np.rint(pixels * (1.0 - share) + blurred * share), dtype=np.uint8)


def _letters(size: tuple[int, int], setting: _Setting) -> Image.Image:
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    for block, top in (
        (setting.headline, setting.headline_top),
        (setting.subline, setting.subline_top),
    ):
        for number, line in enumerate(block.lines):
            left, _, _, _ = block.font.getbbox(line, anchor="la")
            x = setting.left - min(left, 0)
            draw.text((x, top + number * block.leading), line, 255, font=block.font, anchor="la")
    return mask


def _shadow(base: Image.Image, letters: Image.Image, tone: Tone, size: float) -> Image.Image:
    radius = max(size * 0.09, 1.0)
    soft = letters.filter(ImageFilter.GaussianBlur(radius))
    opacity = soft.point([round(value * SHADOW_OPACITY) for value in range(256)])
    base.paste(tone.veil, (0, 0), opacity)
    return base


def _accent(picture: Image.Image, setting: _Setting, colour: Rgb) -> None:
    """Draws a short bar above the headline, in the picture's own strongest colour."""
    if not setting.bar:
        return
    length = min(round(setting.headline.font.size * 0.95), setting.width)
    right, bottom = setting.left + length - 1, setting.top + setting.bar - 1
    ImageDraw.Draw(picture).rectangle((setting.left, setting.top, right, bottom), fill=colour)


def _accent_colour(pixels: Pixels, *, is_light: bool) -> Rgb:
    small = np.asarray(Image.fromarray(pixels).resize((24, 24), Image.Resampling.BOX))
    weights, best = [0.0] * HUE_BINS, (0.0, 0.0)
    hues: list[list[tuple[float, float]]] = [[] for _ in range(HUE_BINS)]
    for red, green, blue in small.reshape(-1, 3) / 255.0:
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        index = int(hue * HUE_BINS) % HUE_BINS
        weights[index] += saturation**2 * value
        hues[index].append((hue, saturation))
    strongest = hues[weights.index(max(weights))]
    if strongest:
        best = max(strongest, key=lambda pair: pair[1])
    hue, saturation = best
    shown = (min(saturation, 0.62), 1.0) if is_light else (max(saturation, 0.5), 0.62)
    if saturation < 0.12:  # a grey picture has no accent of its own
        shown = (0.0, 1.0) if is_light else (0.0, 0.15)
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, *shown))
    return red, green, blue
