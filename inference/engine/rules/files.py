"""A rule from files to files: what every adapter of the engine calls."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inference.engine.errors import InvalidRequest
from inference.engine.pictures import files as pictures
from inference.engine.pictures.files import Decoded
from inference.engine.pictures.masks import Mask, from_rle, union
from inference.engine.rules.apply import Applied, Proof, apply, protected_by, with_file
from inference.engine.rules.document import Document

JPEG_QUALITY = 90
MaskFile = str | bytes  # COCO's compressed runs, or a PNG


@dataclass(frozen=True)
class Result:
    """A picture after a rule, as files.

    Attributes:
        png: Without loss.
        jpeg: With some, or empty where none was asked for.
        width: In pixels.
        height: In pixels.
        has_alpha: Whether a part of the PNG is transparent.
        changed_pixels: By change, on how many pixels it is seen.
        proof: Measured on the files, by "png" and "jpeg".
    """

    png: bytes
    jpeg: bytes
    width: int
    height: int
    has_alpha: bool
    changed_pixels: tuple[int, ...]
    proof: Proof


def apply_to_file(
    picture: bytes,
    document: Document,
    masks: Mapping[str, Sequence[MaskFile]],
    images: Mapping[str, bytes] | None = None,
    jpeg_quality: int = 0,
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Applies a rule to a picture file.

    Args:
        picture: PNG, JPEG or WebP; turned upright.
        document: The rule.
        masks: By concept, all of them together; none for a concept that was not found.
        images: By name, the files that the rule uses.
        jpeg_quality: Of a JPEG, 1 to 95; 0: none is made.
        stopped: Asked between the parts of the work; true ends it.

    Raises:
        InvalidRequest: A file cannot be read, is too large or is missing.
        Canceled: `stopped` said so.
    """
    before = _read(picture, "image_key")
    height, width = before.pixels.shape[:2]
    read = {name: _mask(name, files, height, width) for name, files in masks.items()}
    others = {name: _read(data, "images").on_white for name, data in (images or {}).items()}
    done = apply(before.pixels, document, read, others, before.alpha, stopped)
    png = pictures.encode_png(done.pixels, done.alpha)
    jpeg = b""
    if jpeg_quality:
        jpeg = pictures.encode_jpeg(done.pixels, done.alpha, jpeg_quality)
    protected = protected_by(document, read, height, width)
    return Result(
        png,
        jpeg,
        width,
        height,
        done.alpha is not None,
        done.changed_pixels,
        _proven(done, before, protected, png, jpeg),
    )


def _proven(done: Applied, before: Decoded, protected: Mask, png: bytes, jpeg: bytes) -> Proof:
    proof = done.proof
    if not protected.bits.size:
        return proof
    proof = with_file(proof, "png", before.pixels, pictures.decode(png).pixels, protected)
    if jpeg:
        seen = pictures.decode(jpeg).pixels
        proof = with_file(proof, "jpeg", before.on_white, seen, protected)
    return proof


def _read(data: bytes, field: str) -> Decoded:
    try:
        return pictures.decode(data)
    except InvalidRequest as error:
        error.field = field
        raise


def _mask(concept: str, files: Sequence[MaskFile], height: int, width: int) -> Mask:
    try:
        parts = [
            from_rle(file, height, width) if isinstance(file, str) else _from_png(file)
            for file in files
        ]
        if any((part.height, part.width) != (height, width) for part in parts):
            raise InvalidRequest(f"a mask has another size than the picture, {width}x{height}")
    except InvalidRequest as error:
        raise InvalidRequest(f"masks of {concept!r}: {error}", field="masks") from error
    return union(parts, height, width)


def _from_png(data: bytes) -> Mask:
    """A mask from a picture of any kind; what is lighter than half is part of it."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as opened:
            if opened.width * opened.height > pictures.PIXELS_MAX:
                raise InvalidRequest(f"a mask has at most {pictures.PIXELS_MAX:,} pixels")
            return Mask.of(np.array(opened.convert("L")) >= 128)
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidRequest("a mask cannot be read") from error
