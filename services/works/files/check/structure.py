"""The outer form of pictures, read without decoding: dimensions, frames, where the file ends.

A decoder stops where the picture does. What stands behind that, or moves, or is larger than it may
be, is found here, before a decoder has seen a byte.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.works.files.check.verdict import animated, damaged, extra

Data = bytes | mmap.mmap

PARTS_MAX = 100_000
PADDING_MAX = 4_096
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SOI, _JPEG_EOI, _JPEG_SOS = 0xD8, 0xD9, 0xDA
_JPEG_ALONE = {0x01, *range(0xD0, 0xD8)}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_BEGINNINGS = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (_PNG,),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "application/pdf": (b"%PDF-",),
}
_SVG = (b"<?xml", b"<svg", b"<!--", b"<!DOCTYPE svg")
_PADDING = b"\0\r\n"


@dataclass(frozen=True)
class Shape:
    """What a picture's own headers say.

    Attributes:
        width: In pixels.
        height: In pixels.
        is_lossless: Of a WebP: how its pixels are coded.
    """

    width: int
    height: int
    is_lossless: bool = False


def sniff(head: bytes) -> str:
    """Returns the MIME type that the first bytes of a file show; empty: none of those we take."""
    for content_type, beginnings in _BEGINNINGS.items():
        if head.startswith(beginnings):
            return content_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "image/svg+xml" if text.startswith(_SVG) else ""


def shape_of(content_type: str, data: Data) -> Shape:
    """Walks a picture.

    Raises:
        Refused: It is cut off, moves, or carries something behind its end.
    """
    try:
        return _WALKS[content_type](data)
    except (struct.error, IndexError):
        raise damaged("the file ends early") from None


def _png(data: Data) -> Shape:
    width, height = struct.unpack(">II", data[16:24])
    at = len(_PNG)
    for _ in range(PARTS_MAX):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        if at == len(_PNG) and name != b"IHDR":
            raise damaged("a PNG begins with its header")
        if name in {b"acTL", b"fcTL", b"fdAT"}:
            raise animated()
        if at + 12 + length > len(data):
            raise damaged("the file ends early")
        _check_sum(data, at + 4, length + 4)
        at += 12 + length
        if name == b"IEND":
            _end(data, at)
            return Shape(width, height)
    raise damaged("too many chunks")


def _check_sum(data: Data, at: int, length: int) -> None:
    """Holds a chunk against its checksum; the decoder leaves that of pixels alone."""
    (wanted,) = struct.unpack(">I", data[at + length : at + length + 4])
    with memoryview(data) as whole, whole[at : at + length] as part:
        found = zlib.crc32(part)
    if found != wanted:
        raise damaged("a checksum is wrong")


def _jpeg(data: Data) -> Shape:
    shape, at, is_multiple = None, 2, False
    for _ in range(PARTS_MAX):
        marker, at = _marker(data, at)
        if marker == _JPEG_EOI:
            if shape is None:
                raise damaged("no frame before the end")
            if not is_multiple or data[at : at + 3] != b"\xff\xd8\xff":
                _end(data, at)
            return shape
        if marker in _JPEG_ALONE:
            continue
        (length,) = struct.unpack(">H", data[at : at + 2])
        if length < 2 or at + length > len(data):
            raise damaged("the file ends early")
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", data[at + 3 : at + 7])
            if shape not in {None, Shape(width, height)}:
                raise damaged("two frames of different sizes")
            shape = Shape(width, height)
        # Cameras append smaller pictures, and say so (CIPA DC-007): they go with the metadata.
        is_multiple = is_multiple or (marker == 0xE2 and data[at + 2 : at + 6] == b"MPF\0")
        at += length
        if marker == _JPEG_SOS:
            at = _after_scan(data, at)
    raise damaged("too many segments")


def _marker(data: Data, at: int) -> tuple[int, int]:
    if data[at] != 0xFF:
        raise damaged("a segment does not begin where the one before ends")
    while data[at] == 0xFF:
        at += 1
    return data[at], at + 1


def _after_scan(data: Data, at: int) -> int:
    """Returns where the next marker stands: in coded data 0xFF is followed by 0 or a restart."""
    found = _JPEG_MARKER.search(data, at)
    if found is None:
        raise damaged("the file ends early")
    return found.start()


def _gif(data: Data) -> Shape:
    width, height, flags = struct.unpack("<HHB", data[6:11])
    at, frames = 13 + _palette(flags), 0
    for _ in range(PARTS_MAX):
        part = data[at]
        if part == 0x3B:
            if not frames:
                raise damaged("no picture before the end")
            _end(data, at + 1)
            return Shape(width, height)
        if part == 0x21:
            at = _blocks(data, at + 2)
        elif part == 0x2C:
            frames += 1
            if frames > 1:
                raise animated()
            left, top, wide, high, flags = struct.unpack("<HHHHB", data[at + 1 : at + 10])
            if left + wide > width or top + high > height:
                raise damaged("the frame is larger than the picture")
            at = _blocks(data, at + 11 + _palette(flags))
        else:
            raise damaged("an unknown block")
    raise damaged("too many blocks")


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: Data, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _webp(data: Data) -> Shape:
    (size,) = struct.unpack("<I", data[4:8])
    end = 8 + size + size % 2
    if end > len(data) + size % 2:
        raise damaged("the file ends early")
    _end(data, end)
    shape, at, canvas = None, 12, None
    while at < min(end, len(data)):
        name, length = struct.unpack("<4sI", data[at : at + 8])
        body = data[at + 8 : at + 18]
        if name in {b"ANIM", b"ANMF"}:
            raise animated()
        if name == b"VP8X":
            canvas = Shape(1 + _u24(body[4:7]), 1 + _u24(body[7:10]))
        elif name in {b"VP8 ", b"VP8L"}:
            if shape is not None:
                raise damaged("two pictures")
            shape = _vp8l(body) if name == b"VP8L" else _vp8(body)
        at += 8 + length + length % 2
    if shape is None or at > end:
        raise damaged("no picture, or one that is cut off")
    if canvas and (canvas.width, canvas.height) != (shape.width, shape.height):
        raise damaged("the picture is not as large as its canvas")
    return shape


def _u24(three: bytes) -> int:
    return int.from_bytes(three[:3].ljust(3, b"\xff"), "little")


def _vp8(body: bytes) -> Shape:
    width, height = struct.unpack("<HH", body[6:10])
    return Shape(width & 0x3FFF, height & 0x3FFF)


def _vp8l(body: bytes) -> Shape:
    (bits,) = struct.unpack("<I", body[1:5])
    return Shape((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, is_lossless=True)


def _end(data: Data, at: int) -> None:
    """Lets nothing but padding stand behind the end of a picture."""
    if len(data) > at + PADDING_MAX or data[at:].strip(_PADDING):
        raise extra(f"{len(data) - at} bytes follow the end of the picture")


_WALKS: Mapping[str, Callable[[Data], Shape]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
}
