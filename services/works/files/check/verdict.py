"""What a check says of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

# What is encoded anew as another type.
STORED_AS: Mapping[str, str] = {"image/gif": "image/png"}


class Refused(Exception):
    """The file is not let in.

    Attributes:
        reason: A name of ``atelier.errors.v1.Reason`` without its prefix.
        metadata: The limits that a person would want to know.
    """

    def __init__(self, reason: str, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = {key: str(value) for key, value in metadata.items()}


@dataclass(frozen=True)
class Limits:
    """How large a file may be.

    Attributes:
        bytes_max: As stored.
        pixels_max: Of a picture.
        side_max: Of a picture, in pixels.
        pages_max: Of a document.
    """

    bytes_max: int
    pixels_max: int
    side_max: int
    pages_max: int


@dataclass(frozen=True)
class Task:
    """One file to be checked.

    Attributes:
        content_type: As declared.
        limits: How large it may be.
        source: The file.
        target: Empty; takes the file as it is to be stored.
        thumbnail: Empty; takes a small JPEG.
    """

    content_type: str
    limits: Limits
    source: BinaryIO
    target: BinaryIO
    thumbnail: BinaryIO


@dataclass(frozen=True)
class Accepted:
    """What a file is that was let in.

    Attributes:
        content_type: As stored.
        width: In pixels; 0 where it is no picture.
        height: In pixels; 0 where it is no picture.
        pages: Of a document, else 0.
        as_sent: Whether the bytes are stored as they came; else they are in the target.
        has_thumbnail: Whether a thumbnail was written.
    """

    content_type: str
    width: int = 0
    height: int = 0
    pages: int = 0
    as_sent: bool = False
    has_thumbnail: bool = False


def damaged(what: str) -> Refused:
    """The refusal of what cannot be read."""
    return Refused("FILE_DAMAGED", what)


def extra(what: str) -> Refused:
    """The refusal of what carries a second thing."""
    return Refused("FILE_HAS_EXTRA_DATA", what)


def animated() -> Refused:
    """The refusal of what moves."""
    return Refused("FILE_ANIMATED", "only still pictures are taken")


def too_complex(what: str) -> Refused:
    """The refusal of what takes too much to read."""
    return Refused("FILE_TOO_COMPLEX", what)
