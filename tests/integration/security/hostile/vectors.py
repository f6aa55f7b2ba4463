"""Hostile SVGs: scripts, handlers, entities, things to be loaded, bombs."""

from __future__ import annotations

from collections.abc import Iterator

from tests.integration.security.hostile.case import Hostile

SVG = "image/svg+xml"
ACTIVE, DAMAGED, COMPLEX = "FILE_ACTIVE_CONTENT", "FILE_DAMAGED", "FILE_TOO_COMPLEX"
SPACES = (
    'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="40" height="30"'
)
INSIDE = {
    "a script": "<script>alert(1)</script>",
    "a script elsewhere": '<script href="https://x.example/a.js"/>',
    "a script of another space": '<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>',
    "a page": '<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>',
    "a handler": '<rect onclick="alert(1)" width="4" height="4"/>',
    "a handler on loading": '<g onload="alert(1)"/>',
    "a handler in capitals": '<rect ONMOUSEOVER="alert(1)"/>',
    "a link that is a script": '<a xlink:href="javascript:alert(1)"><text>x</text></a>',
    "a link": '<a href="https://x.example/"><text>x</text></a>',
    "a picture elsewhere": '<image href="https://x.example/a.png"/>',
    "a picture inside": '<image href="data:image/svg+xml;base64,PHN2Zz4="/>',
    "a part of another file": '<use href="https://x.example/a.svg#b"/>',
    "a part of a data address": '<use xlink:href="data:image/svg+xml,&lt;svg/&gt;#x"/>',
    "an animation of a link": '<set attributeName="href" to="javascript:alert(1)"/>',
    "an animation": '<animate attributeName="x" values="0;9"/>',
    "a handler of SVG": '<handler type="text/javascript">alert(1)</handler>',
    "an iframe": '<iframe src="https://x.example/"/>',
    "an embedded thing": '<embed src="a.swf"/>',
    "an object": '<object data="a.swf"/>',
    "a film": '<video src="https://x.example/a.mp4"/>',
    "a style that imports": "<style>@import 'https://x.example/a.css';</style>",
    "a style that loads": "<style>rect{fill:url(https://x.example/a.svg#b)}</style>",
    "a style that loads quietly": "<rect style=\"fill:url( '//x.example/a#b')\"/>",
    "a style with escapes": "<style>rect{fill:u\\72l(x)}</style>",
    "a style that is a program": '<rect style="width:expression(alert(1))"/>',
    "a font elsewhere": "<style>@font-face{src:local(x)}</style>",
    "a colour elsewhere": '<rect fill="url(https://x.example/a.svg#b)"/>',
    "a mask elsewhere": '<rect mask="url(&quot;https://x.example/a#b&quot;)"/>',
    "a filter's picture": '<filter><feImage href="https://x.example/a.png"/></filter>',
    "another base": '<g xml:base="https://x.example/"/>',
    "a cursor": '<cursor xlink:href="https://x.example/a.cur"/>',
}


def drawing(inside: str, front: str = "") -> bytes:
    """An SVG with something in it."""
    return f"{front}<svg {SPACES}>{inside}</svg>".encode()


def cases() -> Iterator[Hostile]:
    """Every hostile drawing."""
    for name, inside in INSIDE.items():
        yield Hostile(f"svg with {name}", SVG, drawing(inside), ACTIVE)
    yield from declared()
    yield from bombs()
    yield from broken()


def declared() -> Iterator[Hostile]:
    """Entities, which a parser would carry out."""
    laughs = "".join(f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10))
    for name, types in {
        "a file": '<!ENTITY x SYSTEM "file:///etc/passwd">',
        "an address": '<!ENTITY x SYSTEM "http://169.254.169.254/latest/">',
        "a billion laughs": f'<!ENTITY l0 "lol">{laughs}<!ENTITY x "&l9;">',
        "a parameter": '<!ENTITY % x SYSTEM "https://x.example/a.dtd"> %x;',
        "a word": '<!ENTITY x "harmless">',
    }.items():
        front = f'<?xml version="1.0"?><!DOCTYPE svg [{types}]>'
        text = "" if "%" in types else "<text>&x;</text>"
        yield Hostile(f"svg with {name} as entity", SVG, drawing(text, front), ACTIVE)
    sheet = '<?xml version="1.0"?><?xml-stylesheet href="https://x.example/a.xsl"?>'
    yield Hostile("svg with a style sheet", SVG, drawing("", sheet), ACTIVE)


def bombs() -> Iterator[Hostile]:
    """Small drawings that are large."""
    layers = '<g id="a0"><rect/></g>' + "".join(
        f'<g id="a{level}">' + f'<use href="#a{level - 1}"/>' * 10 + "</g>" for level in range(1, 8)
    )
    yield Hostile("svg that multiplies itself", SVG, drawing(layers), COMPLEX)
    circle = '<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>'
    yield Hostile("svg that goes in a circle", SVG, drawing(circle), COMPLEX)
    yield Hostile("svg that is deep", SVG, drawing("<g>" * 100 + "</g>" * 100), COMPLEX)
    yield Hostile("svg of many parts", SVG, drawing("<g/>" * 60_000), COMPLEX)
    text = "x" * (3 << 20)
    yield Hostile("svg of three megabytes", SVG, drawing(f"<text>{text}</text>"), "FILE_TOO_LARGE")


def broken() -> Iterator[Hostile]:
    """What is no drawing."""
    yield Hostile("svg cut", SVG, drawing("<rect/>")[:-8], DAMAGED)
    yield Hostile(
        "svg that is deep without end", SVG, drawing("<g>" * 3_000 + "</g>" * 3_000), DAMAGED
    )
    yield Hostile("svg in UTF-16", SVG, b"<svg" + drawing("").decode().encode("utf-16"), DAMAGED)
    other = '<?xml version="1.0" encoding="UTF-7"?>'
    yield Hostile("svg in UTF-7", SVG, drawing("", other), DAMAGED)
    yield Hostile("svg of another name", SVG, b'<svg xmlns="urn:x"/>', "FILE_TYPE_MISMATCH")
    page = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script/></html>'
    yield Hostile("a page as svg", SVG, page, "FILE_TYPE_MISMATCH")
