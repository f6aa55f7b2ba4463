"""A rule from files to files: what every adapter of the engine calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inference.engine.errors import InvalidRequest
from inference.engine.pictures import files as pictures
from inference.engine.pictures.files import Decoded
from inference.engine.pictures.masks import Mask, Runs, from_rle, union
from inference.engine.rules.apply import Applied, Proof, apply, go_on, with_file
from inference.engine.rules.colour import Pixels
from inference.engine.rules.document import Document

JPEG_QUALITY = 90
# Of all masks of a picture together; what is more is held as runs until its change is made.
UNPACKED_BYTES_MAX = 64 << 20
MaskFile = str | bytes  # COCO's compressed runs, or a PNG


@dataclass(frozen=True)
class Files:
    """What a rule is applied to.

    Attributes:
        picture: PNG, JPEG or WebP; turned upright.
        masks: By concept, all of them together; none for a concept that was not found.
        images: By name, the files that the rule uses.
    """

    picture: bytes
    masks: Mapping[str, Sequence[MaskFile]]
    images: Mapping[str, bytes] = field(default_factory=dict)


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
    files: Files,
    document: Document,
    jpeg_quality: int = 0,
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Applies a rule to a picture file.

    Args:
        files: The picture, its masks, and what the rule uses.
        document: The rule.
        jpeg_quality: Of a JPEG, 1 to 95; 0: none is made.
        stopped: Asked between the parts of the work; true ends it.

    Raises:
        InvalidRequest: A file cannot be read, is too large or is missing.
        Canceled: `stopped` said so.
    """
    before = _read(files.picture, "image_key")
    height, width = before.pixels.shape[:2]
    go_on(stopped)
    masks = _masks(files.masks, height, width)
    done = apply(before.pixels, document, masks, _Images(files.images), before.alpha, stopped)
    go_on(stopped)
    png = pictures.encode_png(done.pixels, done.alpha)
    go_on(stopped)
    jpeg = b""
    if jpeg_quality:
        jpeg = pictures.encode_jpeg(done.pixels, done.alpha, jpeg_quality)
    go_on(stopped)
    proof = _proven(done, before, png, jpeg)
    has_alpha = done.alpha is not None
    return Result(png, jpeg, width, height, has_alpha, done.changed_pixels, proof)


class _Images(Mapping[str, Pixels]):
    """Pictures that are read when a change takes them, and not kept."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def __getitem__(self, name: str) -> Pixels:
        return _read(self._files[name], "images").on_white

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _proven(done: Applied, before: Decoded, png: bytes, jpeg: bytes) -> Proof:
    proof, protected = done.proof, done.protected
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


def _masks(
    files: Mapping[str, Sequence[MaskFile]], height: int, width: int
) -> dict[str, Mask | Runs]:
    made: dict[str, Mask | Runs] = {}
    room = UNPACKED_BYTES_MAX
    for concept, each in files.items():
        mask = _mask(concept, each, height, width)
        room -= mask.bits.size
        made[concept] = mask if room >= 0 else Runs.of(mask)
    return made


def _mask(concept: str, files: Sequence[MaskFile], height: int, width: int) -> Mask:
    """Everything that the files cover, two of them unpacked at a time."""
    whole = Mask.empty(height, width)
    try:
        for file in files:
            one = from_rle(file, height, width) if isinstance(file, str) else _from_png(file)
            if (one.height, one.width) != (height, width):
                raise InvalidRequest(f"a mask has another size than the picture, {width}x{height}")
            whole = union((whole, one), height, width)
    except InvalidRequest as error:
        raise InvalidRequest(f"masks of {concept!r}: {error}", field="masks") from error
    return whole


def _from_png(data: bytes) -> Mask:
    """A mask from a picture of any kind; what is lighter than half is part of it."""
    with pictures.opening(data, ("PNG",)) as opened:
        if opened.width * opened.height > pictures.PIXELS_MAX:
            raise InvalidRequest(f"a mask has at most {pictures.PIXELS_MAX:,} pixels")
        return Mask.of(np.array(opened.convert("L")) >= 128)
