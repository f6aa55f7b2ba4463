"""Files that are not what they say: other types, other things in front, nothing at all."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterator

from tests.integration.security.hostile.case import Hostile
from tests.integration.security.hostile.honest import document, encoded, saved, scene

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4"/></svg>'
HTML = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>"


def archive() -> bytes:
    """A ZIP with a page in it."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        opened.writestr(zipfile.ZipInfo("index.html"), HTML)
    return written.getvalue()


def samples() -> dict[str, bytes]:
    """An honest file of each type."""
    picture = scene()
    return {
        "image/jpeg": encoded(picture, "JPEG"),
        "image/png": encoded(picture, "PNG"),
        "image/gif": encoded(picture.quantize(16), "GIF"),
        "image/webp": encoded(picture, "WEBP"),
        "application/pdf": saved(document()),
        "image/svg+xml": SVG,
    }


def strangers() -> dict[str, bytes]:
    """Files of types that nobody takes."""
    picture = scene()
    return {
        "html": HTML,
        "javascript": b"alert(document.domain)\n",
        "zip": archive(),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(64),
        "exe": b"MZ" + bytes(120) + b"PE\0\0",
        "script": b"#!/bin/sh\nrm -rf /\n",
        "php": b"<?php system($_GET['c']); ?>",
        "gzip": b"\x1f\x8b\x08" + bytes(40),
        "bmp": encoded(picture, "BMP"),
        "tiff": encoded(picture, "TIFF"),
        "ico": encoded(picture, "ICO", sizes=[(16, 16)]),
        "postscript": b"%!PS-Adobe-3.0\n(%pipe%id) (w) file\n",
        "imagemagick": b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://x/\"|id)'\n",
        "mp4": b"\0\0\0\x18ftypmp42" + bytes(80),
        "zeros": bytes(512),
        "noise": random.Random(7).randbytes(512),
        "a byte": b"\xff",
        "text": "안녕하세요".encode(),
    }


def cases() -> Iterator[Hostile]:
    """Every file that lies about its type."""
    honest = samples()
    for declared in honest:
        for true, data in honest.items():
            if declared != true:
                yield Hostile(f"{true} as {declared}", declared, data, "FILE_TYPE_MISMATCH")
    for name, data in strangers().items():
        yield Hostile(f"{name} as jpeg", "image/jpeg", data, "FILE_TYPE_MISMATCH")
    for declared, data in honest.items():
        if declared == "image/svg+xml":
            continue
        for name, front in {"html": HTML, "zip": archive(), "a space": b" "}.items():
            yield Hostile(f"{name} before {declared}", declared, front + data, "FILE_TYPE_MISMATCH")
