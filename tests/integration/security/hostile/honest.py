"""Files as people send them: all of these must pass and look the same."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import pikepdf
from PIL import Image, ImageCms

SIZE = (96, 64)


@dataclass(frozen=True)
class Honest:
    """A file that must pass.

    Attributes:
        name: What it is.
        content_type: Its true type.
        data: Its bytes.
        shown: What a viewer shows of it, in RGB on white; None where it is no picture.
        tolerance: The mean difference that encoding anew may make, of 255.
        stored_as: Its type as stored.
    """

    name: str
    content_type: str
    data: bytes
    shown: Image.Image | None = None
    tolerance: float = 3.0
    stored_as: str = ""


def scene(size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture whose four corners differ, so that turning it is seen."""
    width, height = size
    picture = Image.new("RGB", size)
    picture.putdata(
        [
            (255 * x // width, 255 * y // height, 200 if x < width // 2 else 60)
            for y in range(height)
            for x in range(width)
        ]
    )
    return picture


def encoded(picture: Image.Image, name: str, **options: object) -> bytes:
    """Encodes a picture."""
    written = io.BytesIO()
    picture.save(written, name, **options)
    return written.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Puts a PNG together from its chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in chunks)


def chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    check = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + check


def header(width: int, height: int, bits: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    """The header chunk of a PNG."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)


def document(pages: int = 1) -> pikepdf.Pdf:
    """A PDF of empty pages."""
    made = pikepdf.new()
    for _ in range(pages):
        made.add_blank_page(page_size=(200, 300))
    return made


def saved(made: pikepdf.Pdf, **options: object) -> bytes:
    """Saves a PDF, the same bytes every time."""
    written = io.BytesIO()
    made.save(written, deterministic_id="encryption" not in options, **options)
    return written.getvalue()


def turned(orientation: int) -> bytes:
    """A JPEG that asks to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a camera's words"
    return encoded(scene(), "JPEG", quality=95, exif=exif)


def wide() -> tuple[bytes, Image.Image]:
    """A colour profile that is not sRGB's, and what a viewer shows of the scene with it.

    Red and green are exchanged in it, which no viewer can overlook.
    """
    profile = bytearray(srgb())
    red, green = (profile.index(name, 132, 132 + 12 * profile[131]) for name in (b"rXYZ", b"gXYZ"))
    profile[red + 4 : red + 8], profile[green + 4 : green + 8] = (
        profile[green + 4 : green + 8],
        profile[red + 4 : red + 8],
    )
    channels = scene().split()
    return bytes(profile), Image.merge("RGB", (channels[1], channels[0], channels[2]))


def srgb() -> bytes:
    """The profile that most pictures carry; lcms writes the present time into it."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)
    return bytes(profile)


def sixteen_bits() -> tuple[bytes, Image.Image]:
    """A 16-bit grey PNG: its darkest values would vanish, were they cut off instead of scaled."""
    width, height = SIZE
    rows = b"".join(
        b"\0" + b"".join(struct.pack(">H", 65_535 * x // (width - 1)) for x in range(width))
        for _ in range(height)
    )
    shown = Image.new("L", SIZE)
    shown.putdata([255 * x // (width - 1) for _ in range(height) for x in range(width)])
    data = png(header(*SIZE, 16, 0), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return data, shown.convert("RGB")


def sixteen_bits_colour() -> tuple[bytes, Image.Image]:
    """A 16-bit colour PNG."""
    shown = scene()
    pixels = list(shown.get_flattened_data())
    width, height = SIZE
    rows = b"".join(
        b"\0"
        + b"".join(
            struct.pack(">HHH", *(value * 257 for value in pixels[y * width + x]))
            for x in range(width)
        )
        for y in range(height)
    )
    return png(header(*SIZE, 16, 2), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")), shown


def cut_out() -> Image.Image:
    """A picture with a clear half."""
    picture = scene().convert("RGBA")
    alpha = Image.new("L", SIZE, 255)
    alpha.paste(0, (0, 0, SIZE[0] // 2, SIZE[1]))
    picture.putalpha(alpha)
    return picture


def on_white(picture: Image.Image) -> Image.Image:
    """What a viewer shows of a picture."""
    ground = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")


def pictures() -> Iterator[Honest]:
    """Pictures that must pass."""
    shown, clear = scene(), cut_out()
    jpeg = encoded(shown, "JPEG", quality=90)
    yield Honest("jpeg", "image/jpeg", jpeg, shown)
    yield Honest("jpeg progressive", "image/jpeg", encoded(shown, "JPEG", progressive=True), shown)
    yield Honest("jpeg grey", "image/jpeg", encoded(shown.convert("L"), "JPEG"), shown.convert("L"))
    yield Honest("jpeg padded", "image/jpeg", jpeg + b"\0" * 64, shown)
    yield Honest("jpeg cmyk", "image/jpeg", encoded(shown.convert("CMYK"), "JPEG"), shown, 6)
    yield Honest("jpeg sRGB", "image/jpeg", encoded(shown, "JPEG", icc_profile=srgb()), shown)
    for orientation, turn in _TURNS.items():
        upright = shown.transpose(turn)
        yield Honest(f"jpeg turned {orientation}", "image/jpeg", turned(orientation), upright)
    yield Honest("png", "image/png", encoded(shown, "PNG"), shown, 0)
    yield Honest("png clear", "image/png", encoded(clear, "PNG"), on_white(clear), 0)
    palette = shown.quantize(64)
    yield Honest("png palette", "image/png", encoded(palette, "PNG"), palette.convert("RGB"), 0)
    yield Honest("png bits", "image/png", encoded(shown.convert("1"), "PNG"), shown.convert("1"), 0)
    keyed = encoded(palette, "PNG", transparency=0)
    yield Honest(
        "png palette clear", "image/png", keyed, on_white(Image.open(io.BytesIO(keyed))), 0
    )
    yield Honest("png 16 grey", "image/png", *sixteen_bits(), 1)
    yield Honest("png 16 colour", "image/png", *sixteen_bits_colour(), 1)
    yield Honest("png sRGB", "image/png", encoded(shown, "PNG", icc_profile=srgb()), shown, 1)
    yield Honest("webp", "image/webp", encoded(shown, "WEBP", quality=90), shown, 4)
    yield Honest(
        "webp lossless",
        "image/webp",
        encoded(clear, "WEBP", lossless=True, exact=True),
        on_white(clear),
        0,
    )
    gif = encoded(palette, "GIF")
    yield Honest("gif", "image/gif", gif, palette.convert("RGB"), 0, "image/png")


def files() -> list[Honest]:
    """All that must pass."""
    made = list(pictures())
    linked = document()
    link = pikepdf.Dictionary(
        Type=pikepdf.Name.Annot,
        Subtype=pikepdf.Name.Link,
        Rect=[0, 0, 10, 10],
        A=pikepdf.Dictionary(S=pikepdf.Name.URI, URI=pikepdf.String("https://example.com/menu")),
    )
    linked.pages[0].Annots = linked.make_indirect([linked.make_indirect(link)])
    for name, data in {
        "pdf": saved(document()),
        "pdf of three pages": saved(document(3)),
        "pdf with object streams": saved(
            document(2), object_stream_mode=pikepdf.ObjectStreamMode.generate
        ),
        "pdf linearized": saved(document(2), linearize=True),
        "pdf with a link": saved(linked),
    }.items():
        made.append(Honest(name, "application/pdf", data))
    drawing = (
        b'<?xml version="1.0" encoding="UTF-8"?><svg xmlns="http://www.w3.org/2000/svg" width="40" '
        b'height="30"><defs><linearGradient id="g"><stop offset="0" stop-color="red"/>'
        b'</linearGradient></defs><rect width="40" height="30" fill="url(#g)"/></svg>'
    )
    made.append(Honest("svg", "image/svg+xml", drawing))
    return made


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
