"""Masks on their boxes, and how they are written: COCO's compressed runs, and PNG.

A run-length encoding is the string that COCO's tools call `counts` in its compressed form: lengths
of runs down the columns, the first one of zeros, each as the difference to the run two before, in
groups of five bits (pycocotools, `rleToString`). What is held for longer than a moment is held as
runs: the mask of a large picture is 25 MB, its runs are some 20 kB. numpy and Pillow only.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.engine.errors import InvalidRequest

Bits = NDArray[np.uint8]
RLE_CHARACTERS_MAX = 1 << 20
_GROUP_BITS, _GROUPS_MAX = 5, 7
_MORE, _SIGN, _FIRST = 0x20, 0x10, 48


class Box(NamedTuple):
    """In whole pixels, from the picture's upper left."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Mask:
    """A part of a picture.

    Attributes:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        x: Of the first column of `bits`.
        y: Of the first row of `bits`.
        bits: uint8, 0 or 255, the smallest rectangle that holds the part; (0, 0) for nothing.
    """

    height: int
    width: int
    x: int
    y: int
    bits: Bits

    @classmethod
    def of(cls, whole: NDArray[np.bool_] | Bits) -> Self:
        """The mask of what is not zero in an array (H, W) of the picture's size."""
        height, width = whole.shape
        return cls.within(height, width, 0, 0, whole)

    @classmethod
    def within(cls, height: int, width: int, x: int, y: int, part: NDArray[np.generic]) -> Self:
        """The mask of what is not zero in a part of a picture; the part begins at x, y."""
        rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
        if not len(rows):
            return cls.empty(height, width)
        top, left = int(rows[0]), int(columns[0])
        cut = part[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        bits = np.where(cut != 0, np.uint8(255), np.uint8(0))
        return cls(height, width, x + left, y + top, bits)

    @classmethod
    def empty(cls, height: int, width: int) -> Self:
        """Nothing of a picture."""
        return cls(height, width, 0, 0, np.zeros((0, 0), np.uint8))

    @property
    def box(self) -> Box:
        """Where it is."""
        return Box(self.x, self.y, self.bits.shape[1], self.bits.shape[0])

    @property
    def area(self) -> int:
        """In pixels."""
        return int(np.count_nonzero(self.bits))

    def window(self, box: Box) -> Bits:
        """What lies in a box of the picture, uint8 (box.height, box.width)."""
        out = np.zeros((box.height, box.width), np.uint8)
        height, width = self.bits.shape
        left, top = max(self.x, box.x), max(self.y, box.y)
        right = min(self.x + width, box.x + box.width)
        bottom = min(self.y + height, box.y + box.height)
        if left < right and top < bottom:
            out[top - box.y : bottom - box.y, left - box.x : right - box.x] = self.bits[
                top - self.y : bottom - self.y, left - self.x : right - self.x
            ]
        return out

    def whole(self) -> Bits:
        """uint8 (height, width) of the picture's size, 0 or 255."""
        return self.window(Box(0, 0, self.width, self.height))


@dataclass(frozen=True)
class Runs:
    """A mask that takes little memory, with what is asked of it most often.

    Attributes:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        rle: COCO's compressed runs.
        area: In pixels; 0 for nothing.
        box: Where it is.
    """

    height: int
    width: int
    rle: str
    area: int
    box: Box

    @classmethod
    def of(cls, mask: Mask) -> Self:
        """The runs of a mask."""
        return cls(mask.height, mask.width, to_rle(mask), mask.area, mask.box)

    def mask(self) -> Mask:
        """Unpacks it; whoever calls this holds up to one byte a pixel."""
        return from_rle(self.rle, self.height, self.width, characters_max=len(self.rle))


def union(masks: Iterable[Mask], height: int, width: int) -> Mask:
    """Everything that any of the masks covers."""
    parts = [mask for mask in masks if mask.bits.size]
    if len(parts) < 2:
        return parts[0] if parts else Mask.empty(height, width)
    left, top = min(part.x for part in parts), min(part.y for part in parts)
    right = max(part.x + part.bits.shape[1] for part in parts)
    bottom = max(part.y + part.bits.shape[0] for part in parts)
    out = np.zeros((bottom - top, right - left), np.uint8)
    for part in parts:
        rows, columns = part.bits.shape
        y, x = part.y - top, part.x - left
        out[y : y + rows, x : x + columns] |= part.bits
    return Mask(height, width, left, top, out)


def to_rle(mask: Mask) -> str:
    """Writes a mask as COCO's compressed run lengths."""
    pixels = mask.height * mask.width
    if not mask.bits.size:
        return _to_string(np.array([pixels]))
    ends = _edges(mask)
    ends = ends if ends[-1] == pixels else np.append(ends, pixels)
    return _to_string(np.diff(ends, prepend=0))


def _edges(mask: Mask) -> NDArray[np.int64]:
    """Where a run begins, counted down the columns; and where the last one ends.

    Looked for along the rows, as they lie in memory, and then sorted: there are few, and turning
    a mask of 25 megapixels around takes 100 times as long.
    """
    bits, height = mask.bits, mask.height
    rows, columns = bits.shape
    tops = np.arange(mask.x, mask.x + columns) * height + mask.y
    within, column = np.divmod(np.flatnonzero(bits[1:] != bits[:-1]), columns)
    found = [tops[column] + within + 1]
    first, last = bits[0] != 0, bits[-1] != 0
    if rows == height:
        # A column begins where the one to its left ends.
        found.append(tops[first != np.append(False, last[:-1])])
        if last[-1]:
            found.append(tops[-1:] + height)
    else:
        found += [tops[first], tops[last] + rows]
    return np.sort(np.concatenate(found))


def from_rle(text: str, height: int, width: int, characters_max: int = RLE_CHARACTERS_MAX) -> Mask:
    """Reads COCO's compressed run lengths.

    Raises:
        InvalidRequest: The string is no encoding of a mask of this size.
    """
    counts = _from_string(text, characters_max)
    if counts.sum() != height * width or (counts < 0).any():
        raise InvalidRequest(f"the runs do not add up to {width}x{height} pixels")
    ends = np.cumsum(counts)
    ones = np.flatnonzero(counts[1::2]) * 2 + 1
    if not len(ones):
        return Mask.empty(height, width)
    # Only the columns that hold something are unpacked.
    first, last = int(ends[ones[0] - 1]) // height, (int(ends[ones[-1]]) - 1) // height
    lengths = np.diff(np.clip(ends, first * height, (last + 1) * height), prepend=first * height)
    flat = np.repeat(np.arange(len(lengths)) % 2 != 0, lengths)
    return Mask.within(height, width, first, 0, flat.reshape(last - first + 1, height).T)


def to_png(mask: Mask) -> bytes:
    """Writes a mask of the picture's size, one bit a pixel."""
    out = io.BytesIO()
    Image.fromarray(mask.whole()).convert("1", dither=Image.Dither.NONE).save(out, "PNG")
    return out.getvalue()


def _to_string(counts: NDArray[np.int64]) -> str:
    left = counts.astype(np.int64)
    left[3:] -= counts[1:-2]
    goes_on = np.ones(len(left), np.bool_)
    groups = np.zeros((len(left), _GROUPS_MAX), np.uint8)
    for group in range(_GROUPS_MAX):
        low = left & 31
        left = left >> _GROUP_BITS
        more = np.where(low & _SIGN, left != -1, left != 0)
        groups[:, group] = np.where(goes_on, (low | more * _MORE) + _FIRST, 0)
        goes_on = goes_on & more
    return groups[groups != 0].tobytes().decode("ascii")


def _from_string(text: str, characters_max: int) -> NDArray[np.int64]:
    if not 0 < len(text) <= characters_max or not text.isascii():
        raise InvalidRequest("no run-length encoding")
    codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - _FIRST
    is_last = (codes & _MORE) == 0
    if ((codes < 0) | (codes >= 2 * _MORE)).any() or not is_last[-1]:
        raise InvalidRequest("no run-length encoding")
    starts = np.concatenate([[0], np.flatnonzero(is_last)[:-1] + 1])
    sizes = np.diff(np.append(starts, len(codes)))
    if sizes.max() > _GROUPS_MAX:
        raise InvalidRequest("no run-length encoding: a run is too long")
    place = np.arange(len(codes)) - np.repeat(starts, sizes)
    values = np.add.reduceat((codes & 31) << (_GROUP_BITS * place), starts)
    negative = (codes[is_last] & _SIGN) != 0
    values -= negative * (np.int64(1) << (_GROUP_BITS * sizes))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
