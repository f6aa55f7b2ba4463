"""Picture files: read upright and within limits, written without loss."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from inference.engine.errors import InvalidRequest
from inference.engine.pictures import files as pictures
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


def test_a_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    sideways = _file(Image.fromarray(picture(3, 20, 30)), "JPEG", exif=exif, quality=95)
    assert pictures.decode(sideways).pixels.shape == (30, 20, 3)


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
