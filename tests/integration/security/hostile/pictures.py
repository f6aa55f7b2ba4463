"""Hostile pictures: bombs, polyglots, cut files, wrong dimensions, animations, metadata tricks."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.integration.security.hostile.case import Hostile
from tests.integration.security.hostile.honest import (
    chunk,
    encoded,
    header,
    png,
    scene,
    srgb,
)
from tests.integration.security.hostile.lies import HTML, archive, samples

END = (b"IEND", b"")
DAMAGED, EXTRA = "FILE_DAMAGED", "FILE_HAS_EXTRA_DATA"
LARGE, ANIMATED, COMPLEX = "FILE_DIMENSIONS_TOO_LARGE", "FILE_ANIMATED", "FILE_TOO_COMPLEX"
TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def cases() -> Iterator[Hostile]:
    """Every hostile picture."""
    yield from bombs()
    yield from polyglots()
    yield from cut()
    yield from animations()
    yield from broken_pngs()
    yield from broken_jpegs()
    yield from broken_others()
    yield from profiles()


def pixels(width: int, height: int) -> bytes:
    """The compressed rows of a black picture: a megabyte of them is a kilobyte."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    return b"".join(packer.compress(row) for _ in range(height)) + packer.flush()


def resized_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose frame says another size."""
    data = bytearray(encoded(scene(), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def resized_gif(width: int, height: int) -> bytes:
    """A GIF whose screen says another size."""
    data = bytearray(encoded(scene().quantize(16), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def resized_webp(width: int, height: int) -> bytes:
    """A lossy WebP whose frame says another size."""
    data = bytearray(encoded(scene(), "WEBP"))
    data[26:30] = struct.pack("<HH", width, height)
    return bytes(data)


def bombs() -> Iterator[Hostile]:
    """Small files that say, or are, very large pictures."""
    row = zlib.compress(bytes(64))
    for width, height in ((30_000, 30_000), (2**31 - 1, 2**31 - 1), (20_000, 1), (1, 65_535)):
        yield Hostile(
            f"png of {width} x {height}",
            "image/png",
            png(header(width, height), (b"IDAT", row), END),
            LARGE,
        )
    yield Hostile(
        "png of 6000 x 6000, all there",
        "image/png",
        png(header(6_000, 6_000), (b"IDAT", pixels(6_000, 6_000)), END),
        LARGE,
    )
    for width, height in ((65_535, 65_535), (16_384, 160), (60_000, 400)):
        yield Hostile(
            f"jpeg of {width} x {height}", "image/jpeg", resized_jpeg(width, height), LARGE
        )
        yield Hostile(f"gif of {width} x {height}", "image/gif", resized_gif(width, height), LARGE)
    yield Hostile("webp of 16383 x 16383", "image/webp", resized_webp(16_383, 16_383), LARGE)
    yield Hostile("png of no pixels", "image/png", png(header(0, 0), (b"IDAT", row), END), DAMAGED)
    yield Hostile("gif of no pixels", "image/gif", resized_gif(0, 0), DAMAGED)
    # Rows for a picture a thousand times as large, behind a header that is modest.
    packed = zlib.compress(bytes(64 << 20), 9)
    text = b"Comment\0\0" + packed
    profile = b"icc\0\0" + packed
    ends = ((b"IDAT", pixels(4, 4)), END)
    yield Hostile(
        "png with a text bomb", "image/png", png(header(4, 4), (b"zTXt", text), *ends), COMPLEX
    )
    yield Hostile(
        "png with a profile bomb",
        "image/png",
        png(header(4, 4), (b"iCCP", profile), *ends),
        COMPLEX,
    )
    words = b"Comment\0\1\0\0\0" + packed
    yield Hostile(
        "png with a unicode bomb", "image/png", png(header(4, 4), (b"iTXt", words), *ends), COMPLEX
    )


def polyglots() -> Iterator[Hostile]:
    """Pictures with a second file behind them."""
    honest = samples()
    behind = {
        "zip": archive(),
        "html": HTML,
        "php": b"<?php system($_GET['c']); ?>",
        "javascript": b"\n//*/=1;alert(1)\n",
        "pdf": honest["application/pdf"],
        "another picture": honest["image/png"],
    }
    for content_type in TYPES:
        for name, data in behind.items():
            yield Hostile(
                f"{content_type} and {name}", content_type, honest[content_type] + data, EXTRA
            )
        padded = honest[content_type] + bytes(8_192) + archive()
        yield Hostile(f"{content_type}, padding and zip", content_type, padded, EXTRA)


def cut() -> Iterator[Hostile]:
    """Pictures that end early."""
    for content_type, data in samples().items():
        if content_type not in TYPES:
            continue
        for share in (0.1, 0.5, 0.9):
            part = data[: int(len(data) * share)]
            yield Hostile(f"{content_type} cut at {share}", content_type, part, DAMAGED)
        yield Hostile(f"{content_type} without its last byte", content_type, data[:-1], DAMAGED)


def animations() -> Iterator[Hostile]:
    """Pictures that move."""
    frames = [scene(), scene().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    for name, content_type in (("GIF", "image/gif"), ("PNG", "image/png"), ("WEBP", "image/webp")):
        for loop in (0, 1):
            data = encoded(
                frames[0], name, save_all=True, append_images=frames[1:], loop=loop, duration=80
            )
            yield Hostile(f"animated {name} {loop}", content_type, data, ANIMATED)
    still = png(header(4, 4), (b"acTL", struct.pack(">II", 1, 0)), (b"IDAT", pixels(4, 4)), END)
    yield Hostile("png that says it moves", "image/png", still, ANIMATED)


def broken_pngs() -> Iterator[Hostile]:
    """PNGs that are wrong inside."""
    rows = (b"IDAT", pixels(4, 4))
    wrong = {
        "no header": png(rows, END),
        "two headers": png(header(4, 4), header(8, 8), rows, END),
        "no rows": png(header(4, 4), END),
        "rows that do not unpack": png(header(4, 4), (b"IDAT", b"\0" * 40), END),
        "too few rows": png(header(400, 400), rows, END),
        "a wrong checksum": png(header(4, 4), rows, END).replace(chunk(*rows)[-4:], b"\0\0\0\0"),
        "an impossible depth": png(header(4, 4, bits=7), rows, END),
        "an impossible colour": png(header(4, 4, colour=5), rows, END),
        "a chunk longer than the file": png(header(4, 4)) + b"\x7f\xff\xff\xffIDAT",
        "only its signature": b"\x89PNG\r\n\x1a\n",
        "a palette picture without palette": png(
            header(4, 4, colour=3), (b"IDAT", zlib.compress(bytes(20))), END
        ),
    }
    for name, data in wrong.items():
        yield Hostile(f"png with {name}", "image/png", data, DAMAGED)


def broken_jpegs() -> Iterator[Hostile]:
    """JPEGs that are wrong inside."""
    data = encoded(scene(), "JPEG")
    tables = bytearray(data)
    at = tables.index(b"\xff\xc4")
    tables[at + 5 : at + 21] = b"\xff" * 16
    wrong = {
        "no frame": b"\xff\xd8\xff\xd9",
        "two frames": data[:2]
        + data[data.index(b"\xff\xc0") : data.index(b"\xff\xc4")]
        + resized_jpeg(32, 32)[2:],
        "a segment of no length": b"\xff\xd8\xff\xe0\0\0" + data[2:],
        "a segment past the end": b"\xff\xd8\xff\xe1\xff\xff" + data[2:200],
        "impossible tables": bytes(tables),
        "bytes between segments": data[:2] + b"GARBAGE" + data[2:],
        "no end": data[:-2],
    }
    for name, made in wrong.items():
        # Its first bytes must still be those of a JPEG.
        reason = DAMAGED if made.startswith(b"\xff\xd8\xff") else "FILE_TYPE_MISMATCH"
        yield Hostile(f"jpeg with {name}", "image/jpeg", made, reason)
    yield from tricks_of_exif()


def tricks_of_exif() -> Iterator[Hostile]:
    """JPEGs whose EXIF cannot be read."""
    picture = scene()
    loop = b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + bytes(12)
    wrong = {
        "a directory past its end": b"II*\0\xff\xff\xff\x7f",
        "more entries than bytes": loop,
        "another byte order": b"XX*\0\x08\0\0\0" + bytes(20),
        "half an entry": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03",
    }
    for name, body in wrong.items():
        data = encoded(picture, "JPEG", exif=b"Exif\0\0" + body)
        yield Hostile(f"jpeg with exif of {name}", "image/jpeg", data, DAMAGED)


def broken_others() -> Iterator[Hostile]:
    """GIFs and WebPs that are wrong inside."""
    gif = bytearray(encoded(scene().quantize(16), "GIF"))
    frame = gif.index(b",", 13 + 48)
    outside = bytearray(gif)
    outside[frame + 1 : frame + 3] = struct.pack("<H", 900)
    webp = bytearray(encoded(scene(), "WEBP"))
    longer = bytearray(webp)
    longer[4:8] = struct.pack("<I", len(webp) + 4_000)
    wild = bytearray(webp)
    wild[30:] = b"\xff" * (len(wild) - 30)
    lossless = encoded(scene(), "WEBP", lossless=True)
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0) + b"\x0f\0\0\x0f\0\0"
    inner = canvas + bytes(lossless[12:])
    other = b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner
    for name, content_type, data in (
        ("gif with a frame outside", "image/gif", outside),
        ("gif without a frame", "image/gif", gif[: 13 + 48] + b";"),
        ("gif with an unknown block", "image/gif", gif[: 13 + 48] + b"\x99" + gif[13 + 48 :]),
        ("webp longer than its file", "image/webp", longer),
        ("webp of wild bits", "image/webp", wild),
        ("webp on another canvas", "image/webp", other),
        ("webp without a picture", "image/webp", b"RIFF\x04\0\0\0WEBP"),
        ("webp of two pictures", "image/webp", _twice(bytes(webp))),
    ):
        yield Hostile(name, content_type, bytes(data), DAMAGED)


def _twice(webp: bytes) -> bytes:
    body = webp[12:] * 2
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def profiles() -> Iterator[Hostile]:
    """Pictures with colour profiles that are none, or another picture's."""
    picture, whole = scene(), srgb()
    said = bytearray(whole)
    said[0:4] = struct.pack(">I", 2**31 - 1)
    space = bytearray(whole)
    space[16:20] = b"CMYK"
    tags = bytearray(whole)
    tags[128:132] = struct.pack(">I", 2**31 - 1)
    for name, profile in {
        "noise": b"\x13" * 400,
        "half a profile": whole[: len(whole) // 2],
        "a profile of another size": bytes(said),
        "a profile for print": bytes(space),
        "a profile of a billion tags": bytes(tags),
        "a web page": HTML * 4,
    }.items():
        for kind, content_type in (("JPEG", "image/jpeg"), ("PNG", "image/png")):
            data = encoded(picture, kind, icc_profile=profile)
            yield Hostile(f"{kind} with {name} as profile", content_type, data, DAMAGED)
    huge = io.BytesIO()
    picture.save(huge, "JPEG", icc_profile=whole + bytes(5 << 20))
    yield Hostile("jpeg with five megabytes of profile", "image/jpeg", huge.getvalue(), COMPLEX)
