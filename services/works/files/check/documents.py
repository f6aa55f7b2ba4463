"""PDFs: read object by object, never rendered, stored as they came."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import pikepdf

from services.works.files.check.verdict import (
    Accepted,
    Limits,
    Refused,
    Task,
    damaged,
    extra,
    too_complex,
)

OBJECTS_MAX = 200_000
HEAD_BYTES = 1_024
TAIL_BYTES = 66_000  # a ZIP's directory ends within so many bytes of a file's end
# ISO 32000-2, 12.6.4: what a viewer does beyond going to a place in the same document or opening a
# link that the reader has clicked.
_ACTIONS = {
    *("/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/Rendition"),
    *("/Movie", "/Sound", "/RichMediaExecute", "/GoTo3DView"),
}
_KEYS = {"/JS", "/JavaScript", "/AA", "/XFA", "/EmbeddedFiles", "/EF", "/RichMediaContent"}
_TYPES = {"/EmbeddedFile", "/FileAttachment", "/RichMedia", "/Screen", "/Movie", "/Sound", "/3D"}
_SCRIPTED = re.compile(rb"^\s*(javascript|vbscript|data|file):", re.IGNORECASE)
_MARKUP = re.compile(rb"<(script|html|body|svg|iframe|\?php|!doctype)", re.IGNORECASE)
# A second look, at the bytes: what one reader does not reach another might.
_ENCRYPTED = re.compile(rb"/Encrypt\b")
_RAW = re.compile(rb"/(JavaScript|Launch|EmbeddedFile|RichMedia)\b")


def warm_up() -> None:
    """Loads all that is needed, while it still can be."""
    with pikepdf.new() as empty:
        empty.add_blank_page()
        list(empty.objects)


def check(task: Task) -> Accepted:
    """Scans a document.

    Raises:
        Refused: It is not let in.
    """
    with mmap.mmap(task.source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check_edges(data)
        if _ENCRYPTED.search(data):
            raise Refused("FILE_ENCRYPTED", "the document is protected")
        if _RAW.search(data):
            raise _active("a script, an action or an attachment")
    pages = _scan(task.source, task.limits)
    return Accepted("application/pdf", pages=pages, as_sent=True)


def _check_edges(data: mmap.mmap) -> None:
    end = data.rfind(b"%%EOF")
    if end < 0:
        raise damaged("the document ends early")
    if data[end + 5 :].strip(b"\0\r\n\t "):
        raise extra("something follows the end of the document")
    if _MARKUP.search(data[:HEAD_BYTES]):
        raise extra("the document begins as a web page")
    if data.find(b"PK\x05\x06", max(0, len(data) - TAIL_BYTES)) >= 0:
        raise extra("the document is an archive too")


def _scan(source: BinaryIO, limits: Limits) -> int:
    source.seek(0)
    try:
        with pikepdf.open(source, attempt_recovery=False, suppress_warnings=True) as document:
            if document.is_encrypted:
                raise Refused("FILE_ENCRYPTED", "the document is protected")
            _check_objects(document)
            pages = _count_pages(document, limits)
            # What was passed over here, a reader with more memory might still find.
            if any("decod" in str(warning) for warning in document.get_warnings()):
                raise damaged("a part of the document cannot be unpacked")
            return pages
    except pikepdf.PasswordError:
        raise Refused("FILE_ENCRYPTED", "the document is protected by a password") from None
    except (pikepdf.PdfError, ValueError, TypeError, RecursionError):
        raise damaged("the document cannot be read") from None


def _check_objects(document: pikepdf.Pdf) -> None:
    for count, thing in enumerate(document.objects):
        if count > OBJECTS_MAX:
            raise too_complex(f"more than {OBJECTS_MAX} objects")
        for dictionary in _dictionaries(thing):
            _check_dictionary(dictionary)
    _check_dictionary(document.trailer)


def _dictionaries(thing: Any) -> Iterator[Any]:
    """Yields an object's dictionaries, without following references: those are objects too."""
    waiting, seen = [thing], 0
    while waiting:
        seen += 1
        if seen > OBJECTS_MAX:
            raise too_complex("an object is too large")
        each = waiting.pop()
        if isinstance(each, pikepdf.Array):
            waiting += [part for part in each if _is_direct(part)]
        elif isinstance(each, pikepdf.Dictionary | pikepdf.Stream):
            yield each
            waiting += [part for part in _values(each) if _is_direct(part)]


def _values(dictionary: Any) -> Iterator[Any]:
    return (dictionary.get(key) for key in dictionary.keys())  # noqa: SIM118  # no mapping


def _is_direct(part: Any) -> bool:
    composite = isinstance(part, pikepdf.Array | pikepdf.Dictionary | pikepdf.Stream)
    return composite and not part.is_indirect


def _check_dictionary(dictionary: Any) -> None:
    keys = set(dictionary.keys())
    if keys & _KEYS:
        raise _active(f"{sorted(keys & _KEYS)[0]} in an object")
    kinds = {str(dictionary.get(key)) for key in ("/S", "/Type", "/Subtype") if key in keys}
    if kinds & (_ACTIONS | _TYPES):
        raise _active(f"{sorted(kinds & (_ACTIONS | _TYPES))[0]} in an object")
    opened = dictionary.get("/OpenAction")
    if isinstance(opened, pikepdf.Dictionary) and str(opened.get("/S")) != "/GoTo":
        raise _active("an action on opening")
    if "/URI" in keys and _SCRIPTED.match(bytes(dictionary["/URI"])):
        raise _active("a link that is a script")
    if isinstance(dictionary, pikepdf.Stream) and "/F" in keys:
        raise _active("a stream that lies in another file")


def _count_pages(document: pikepdf.Pdf, limits: Limits) -> int:
    pages = len(document.pages)
    if not pages:
        raise damaged("the document has no pages")
    if pages > limits.pages_max:
        raise Refused(
            "FILE_DIMENSIONS_TOO_LARGE",
            f"{pages} pages are too many",
            pages=pages,
            pages_max=limits.pages_max,
        )
    return pages


def _active(what: str) -> Refused:
    return Refused("FILE_ACTIVE_CONTENT", f"the document carries {what}")
