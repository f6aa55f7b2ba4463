"""Picture files: read upright and within limits, written without loss."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from inference.engine.errors import InvalidRequest
from inference.engine.pictures import files as pictures
from inference.engine.rules.document import Document
from inference.engine.rules.files import Files, apply_to_file
from tests.unit.inference.strategies import picture


def _file(image: Image.Image, kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def _bomb(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest


def test_what_is_written_is_read_as_it_was() -> None:
    pixels, alpha = picture(1, 9, 13), picture(2, 9, 13)[..., 0]
    opaque = pictures.decode(pictures.encode_png(pixels))
    assert np.array_equal(opaque.pixels, pixels)
    assert opaque.alpha is None
    clear = pictures.decode(pictures.encode_png(pixels, alpha))
    assert np.array_equal(clear.pixels, pixels)
    assert clear.alpha is not None
    assert np.array_equal(clear.alpha, alpha)


@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation  # 6: the camera was held on its side
    turned = _file(Image.fromarray(picture(3, 20, 30)), "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(turned)))
    assert np.array_equal(pictures.decode(turned).pixels, np.asarray(upright))


def test_a_picture_with_odd_exif_is_shown_turned_or_as_it_lies() -> None:
    rng = np.random.default_rng(0)
    pixels = picture(3, 20, 30)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9286] = 6, "a camera", b"ASCII\0\0\0a comment"
    good = exif.tobytes()
    for _ in range(400):
        odd = bytearray(good)
        for at in rng.integers(len(b"Exif\0\0"), len(odd), int(rng.integers(1, 6))):
            odd[at] = rng.integers(256)
        file = _file(Image.fromarray(pixels), "JPEG", exif=bytes(odd))
        assert sorted(pictures.decode(file).pixels.shape) == [3, 20, 30]


def test_a_file_is_told_unreadable_if_its_header_claims_what_nobody_would_unpack() -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        pictures.decode(_bomb(14_000, 14_000))
    assert pictures.pixels_said(_bomb(14_000, 14_000)) == 0
    masks = {"vase": [_bomb(14_000, 14_000)]}
    with pytest.raises(InvalidRequest, match="masks of 'vase'"):
        apply_to_file(Files(pictures.encode_png(picture(1, 9, 13)), masks), Document(()))


def test_what_is_transparent_is_seen_on_white() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    alpha = np.array([[255, 0], [0, 255]], np.uint8)
    seen = pictures.decode(pictures.encode_png(pixels, alpha)).on_white
    assert seen[..., 0].tolist() == [[0, 255], [255, 0]]
    jpeg = pictures.decode(pictures.encode_jpeg(np.zeros((8, 8, 3), np.uint8), alpha=None)).pixels
    assert jpeg.max() == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_usual_files_are_read(kind: str) -> None:
    assert pictures.decode(_file(Image.new("L", (5, 4), 90), kind)).pixels.shape == (4, 5, 3)


def test_what_is_too_large_is_refused_before_it_is_unpacked() -> None:
    for width, height in ((100_000, 100_000), (5_001, 5_000), (2**31 - 1, 1)):
        with pytest.raises(InvalidRequest):
            pictures.decode(_bomb(width, height))


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", _bomb(10, 10)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        pictures.decode(data)


def test_other_kinds_of_files_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        pictures.decode(_file(Image.new("RGB", (5, 5)), "BMP"))
