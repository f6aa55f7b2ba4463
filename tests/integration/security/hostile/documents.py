"""Hostile PDFs: scripts, actions, attachments, encryption, archives behind them, bombs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf, Stream, String

from tests.integration.security.hostile.case import Hostile
from tests.integration.security.hostile.honest import document, saved
from tests.integration.security.hostile.lies import HTML, archive

PDF = "application/pdf"
ACTIVE, DAMAGED, EXTRA = "FILE_ACTIVE_CONTENT", "FILE_DAMAGED", "FILE_HAS_EXTRA_DATA"
HIDDEN = {"object_stream_mode": pikepdf.ObjectStreamMode.generate}


def cases() -> Iterator[Hostile]:
    """Every hostile document."""
    for name, change in CHANGES.items():
        for how, options in (("plainly", {}), ("in an object stream", HIDDEN)):
            made = document()
            change(made)
            yield Hostile(f"pdf with {name} {how}", PDF, saved(made, **options), ACTIVE)
    yield from encrypted()
    yield from misshapen()


def action(kind: str, **entries: object) -> Dictionary:
    """An action of some kind."""
    return Dictionary(S=Name("/" + kind), **entries)


def on_opening(made: Pdf, **entries: object) -> None:
    """Makes a document do something when it is opened."""
    made.Root.OpenAction = made.make_indirect(action(**entries))  # type: ignore[arg-type]


def annotated(made: Pdf, **entries: object) -> None:
    """Lays something over the first page."""
    note = Dictionary(Type=Name.Annot, Rect=[0, 0, 9, 9], **entries)
    made.pages[0].Annots = Array([made.make_indirect(note)])


def script(made: Pdf) -> None:
    on_opening(made, kind="JavaScript", JS=String("app.alert(1)"))


def named_script(made: Pdf) -> None:
    names = Dictionary(Names=Array([String("a"), action("JavaScript", JS=String("x()"))]))
    made.Root.Names = Dictionary(JavaScript=names)


def attached(made: Pdf) -> None:
    made.attachments["run.exe"] = b"MZ" + bytes(60)


def form_that_sends(made: Pdf) -> None:
    annotated(made, Subtype=Name.Widget, A=action("SubmitForm", F=String("https://x.example/")))
    made.Root.AcroForm = Dictionary(Fields=made.pages[0].Annots)


def dynamic_form(made: Pdf) -> None:
    made.Root.AcroForm = Dictionary(Fields=Array([]), XFA=made.make_stream(b"<xdp/>"))


def rich_media(made: Pdf) -> None:
    annotated(made, Subtype=Name("/RichMedia"), RichMediaContent=Dictionary())


def elsewhere(made: Pdf) -> None:
    stream = Stream(made, b"")
    stream.F = String("file:///etc/passwd")
    made.pages[0].Contents = made.make_indirect(stream)


def scripted_link(made: Pdf) -> None:
    annotated(made, Subtype=Name.Link, A=action("URI", URI=String(" JavaScript:alert(1)")))


CHANGES: dict[str, Callable[[Pdf], None]] = {
    "a script on opening": script,
    "a named script": named_script,
    "a program on opening": lambda made: on_opening(made, kind="Launch", F=String("cmd.exe")),
    "a page on opening": lambda made: on_opening(
        made, kind="URI", URI=String("https://x.example/")
    ),
    "actions of a page": lambda made: setattr(
        made.pages[0].obj, "AA", Dictionary(O=action("Named", N=Name.Print))
    ),
    "a script over a page": lambda made: annotated(
        made, Subtype=Name.Link, A=action("JavaScript", JS=String("x()"))
    ),
    "an attachment": attached,
    "an attachment over a page": lambda made: annotated(made, Subtype=Name.FileAttachment),
    "a form that sends": form_that_sends,
    "a form of another kind": dynamic_form,
    "rich media": rich_media,
    "a film": lambda made: annotated(made, Subtype=Name.Movie, A=True),
    "a sound": lambda made: annotated(made, Subtype=Name.Link, A=action("Sound")),
    "a way to another file": lambda made: annotated(
        made, Subtype=Name.Link, A=action("GoToR", F=String("\\\\host\\share"), D=Array([0]))
    ),
    "data to be imported": lambda made: on_opening(made, kind="ImportData", F=String("a.fdf")),
    "a stream in another file": elsewhere,
    "a link that is a script": scripted_link,
}


def encrypted() -> Iterator[Hostile]:
    """Documents that only a password opens, or that a right protects."""
    for level in (3, 4, 6):
        for user in ("", "secret"):
            locks = pikepdf.Encryption(
                owner="owner", user=user, R=level, aes=level > 3, metadata=level > 3
            )
            name = f"pdf encrypted by {level} {'with' if user else 'without'} a password"
            yield Hostile(name, PDF, saved(document(), encryption=locks), "FILE_ENCRYPTED")


def misshapen() -> Iterator[Hostile]:
    """Documents that are broken, endless, or something else too."""
    data = saved(document())
    for share in (0.2, 0.5, 0.9):
        yield Hostile(f"pdf cut at {share}", PDF, data[: int(len(data) * share)], DAMAGED)
    yield Hostile("pdf and zip", PDF, data + archive(), EXTRA)
    yield Hostile("pdf and html", PDF, data + HTML, EXTRA)
    yield Hostile("pdf that is a page", PDF, b"%PDF-1.7\n" + HTML + data[9:], EXTRA)
    yield Hostile("pdf of nothing", PDF, b"%PDF-1.7\n%%EOF\n", DAMAGED)
    yield Hostile(
        "pdf with a wrong table", PDF, data.replace(b"startxref\n", b"startxref\n9"), DAMAGED
    )
    inside = document()
    inside.pages[0].Contents = inside.make_stream(archive())
    stored = saved(inside, compress_streams=False)
    yield Hostile("pdf with a zip within", PDF, stored, EXTRA)
    hidden = document()
    hidden.Root.Extra = Name("/JavaScript")
    yield Hostile("pdf that names a script", PDF, saved(hidden), ACTIVE)
    yield Hostile("pdf of no pages", PDF, saved(pikepdf.new()), DAMAGED)
    yield Hostile(
        "pdf of 2001 pages", PDF, saved(document(2_001), **HIDDEN), "FILE_DIMENSIONS_TOO_LARGE"
    )
    yield Hostile("pdf with an object bomb", PDF, object_bomb(), DAMAGED)
    yield Hostile("pdf that nests without end", PDF, nested(), DAMAGED)


def object_bomb() -> bytes:
    """A catalogue in a stream of objects that unpacks to a gigabyte and a half."""
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
    }
    places, at = [], 0
    for number, body in objects.items():
        places.append(b"%d %d" % (number, at))
        at += len(body) + 1
    index = b" ".join(places) + b" "
    packed = repeated(index + b" ".join(objects.values()), b" " * (16 << 20), 96)
    start = b"%PDF-1.7\n"
    stream = (
        b"4 0 obj\n<</Type/ObjStm/N 3/First %d/Filter/FlateDecode/Length %d>>stream\n"
        b"%s\nendstream\nendobj\n" % (len(index), len(packed), packed)
    )
    end = len(start) + len(stream)
    rows = b"".join(
        struct.pack(">BIH", *row)
        for row in ((0, 0, 0), (2, 4, 0), (2, 4, 1), (2, 4, 2), (1, len(start), 0), (1, end, 0))
    )
    table = (
        b"5 0 obj\n<</Type/XRef/Size 6/W[1 4 2]/Root 1 0 R/Length %d>>stream\n"
        b"%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % (len(rows), rows, end)
    )
    return start + stream + table


def repeated(head: bytes, part: bytes, times: int) -> bytes:
    """Packs a head and many times the same part, without packing that more than once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)
    check = zlib.adler32(head)
    for _ in range(times):
        check = zlib.adler32(part, check)
    return b"\x78\xda" + packed + block * times + packer.flush() + struct.pack(">I", check)


def nested() -> bytes:
    """An array in an array, a hundred thousand times."""
    data = saved(document())
    deep = b"[" * 100_000 + b"]" * 100_000
    return data.replace(b"/Type /Catalog", b"/Deep " + deep + b" /Type /Catalog", 1).replace(
        b"/Type/Catalog", b"/Deep " + deep + b"/Type/Catalog", 1
    )
