"""SVGs: parsed without entities, refused where they act or load, and written anew.

Elements and attributes that draw are kept; all others are dropped.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from services.works.files.check.verdict import (
    Accepted,
    Refused,
    Task,
    damaged,
    too_complex,
)

BYTES_MAX = 2 << 20
ELEMENTS_MAX = 50_000
DRAWN_MAX = 200_000
DEPTH_MAX = 64
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREFS = {"href", f"{{{_XLINK}}}href"}
# What acts, loads, or holds another language (SVG 2; SMIL can write any attribute later).
_ACTIVE = {
    *("script", "foreignObject", "iframe", "object", "embed", "audio", "video", "canvas"),
    *("handler", "listener", "set", "animate", "animateMotion", "animateTransform", "discard"),
    *("animateColor", "image", "feImage", "a", "link", "meta", "cursor"),
}
_KEPT = {
    *("svg", "g", "defs", "symbol", "use", "title", "desc", "style", "switch", "view"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon"),
    *("text", "tspan", "textPath", "linearGradient", "radialGradient", "stop", "pattern"),
    *("clipPath", "mask", "marker", "filter", "feBlend", "feColorMatrix", "feComponentTransfer"),
    *("feComposite", "feConvolveMatrix", "feDiffuseLighting", "feDisplacementMap", "feFlood"),
    *("feDistantLight", "feDropShadow", "feFuncA", "feFuncB", "feFuncG", "feFuncR"),
    *("feGaussianBlur", "feMerge", "feMergeNode", "feMorphology", "feOffset", "fePointLight"),
    *("feSpecularLighting", "feSpotLight", "feTile", "feTurbulence"),
}
_LOADS = re.compile(r"@import|@font-face|expression|javascript:|behavior|-moz-binding|\\", re.I)
_URL = re.compile(r"url\s*\(\s*['\"]?\s*(?!#)", re.IGNORECASE)
_LENGTH = re.compile(r"\s*([0-9.]{1,12})\s*(px)?\s*")


def warm_up() -> None:
    """Loads all that is needed, while it still can be."""
    etree.tostring(_parse(b'<svg xmlns="http://www.w3.org/2000/svg"/>'))


def check(task: Task) -> Accepted:
    """Checks a drawing and writes it anew.

    Raises:
        Refused: It is not let in.
    """
    task.source.seek(0)
    data = task.source.read(BYTES_MAX + 1)
    if len(data) > min(BYTES_MAX, task.limits.bytes_max):
        raise Refused(
            "FILE_TOO_LARGE", f"an SVG has at most {BYTES_MAX} bytes", bytes_max=BYTES_MAX
        )
    root = _parse(data)
    if root.tag != f"{{{_SVG}}}svg":
        raise Refused("FILE_TYPE_MISMATCH", "the document is not an SVG")
    _check_weight(root)
    clean = _rebuild(root)
    task.target.write(etree.tostring(clean, encoding="utf-8", xml_declaration=True))
    task.target.flush()
    width, height = _size(root)
    if max(width, height) > task.limits.side_max:
        raise Refused(
            "FILE_DIMENSIONS_TOO_LARGE", "the drawing is too large", side_max=task.limits.side_max
        )
    return Accepted("image/svg+xml", width, height)


def _parse(data: bytes) -> Any:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise damaged("the document is not UTF-8") from None
    if re.search(rb"<!(ENTITY|ELEMENT|ATTLIST|NOTATION)|<\?xml-stylesheet", data, re.IGNORECASE):
        raise _active("declarations that are to be carried out")
    if re.search(rb"<\?xml[^>]*encoding\s*=\s*['\"](?!utf-8)", data[:256], re.IGNORECASE):
        raise damaged("the document says another encoding than UTF-8")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        raise damaged("the document is not well-formed") from None


def _check_weight(root: Any) -> None:
    """Bounds elements, depth, and what references to references multiply."""
    targets: dict[str, Any] = {}
    for count, element in enumerate(root.iter(etree.Element)):
        if count > ELEMENTS_MAX:
            raise too_complex(f"more than {ELEMENTS_MAX} elements")
        if element.get("id"):
            targets.setdefault(element.get("id"), element)
    weights: dict[Any, int] = {}
    if _weight(root, targets, weights, 0) > DRAWN_MAX:
        raise too_complex("drawn out, it has too many elements")


def _weight(element: Any, targets: dict[str, Any], weights: dict[Any, int], depth: int) -> int:
    if depth > DEPTH_MAX:
        raise too_complex("nested too deeply, or around in a circle")
    if element in weights:
        return weights[element]
    drawn = [child for child in element if isinstance(child.tag, str)]
    for name in _HREFS:
        target = targets.get(element.get(name, "")[1:])
        if target is not None:
            drawn.append(target)
    weight = 1 + sum(_weight(each, targets, weights, depth + 1) for each in drawn)
    weights[element] = min(weight, DRAWN_MAX + 1)
    return weights[element]


def _rebuild(element: Any) -> Any:
    """Returns a copy of an element with what is known to draw and nothing else."""
    name = etree.QName(element).localname
    made = etree.Element(
        f"{{{_SVG}}}{name}", nsmap={None: _SVG, "xlink": _XLINK} if name == "svg" else None
    )
    for key, value in element.attrib.items():
        _check_attribute(key, value)
        if not key.startswith("{") or key in _HREFS:
            made.set(key, value)
    made.text = element.text
    if name == "style":
        _check_style(element.text or "")
    for child in element:
        if not isinstance(child.tag, str):
            raise _active("entities")
        kind = etree.QName(child)
        if kind.localname in _ACTIVE:
            raise _active(f"<{kind.localname}>")
        if kind.namespace == _SVG and kind.localname in _KEPT:
            copy = _rebuild(child)
            copy.tail = child.tail
            made.append(copy)
    return made


def _check_attribute(key: str, value: str) -> None:
    local = etree.QName(key).localname.lower()
    if local.startswith("on"):
        raise _active(f"the handler {local}")
    if local in {"href", "src", "action", "formaction", "base"} and not value.strip().startswith(
        "#"
    ):
        raise _active("a link out of the document")
    _check_style(value)


def _check_style(text: str) -> None:
    if _LOADS.search(text) or _URL.search(text):
        raise _active("a style that loads or acts")


def _size(root: Any) -> tuple[int, int]:
    sides = [_LENGTH.fullmatch(root.get(name, "")) for name in ("width", "height")]
    if all(sides):
        numbers = [side.group(1) for side in sides if side]
    else:
        numbers = root.get("viewBox", "").replace(",", " ").split()[2:4]
    try:
        width, height = (round(float(number)) for number in numbers)
    except (ValueError, OverflowError):
        return 0, 0
    return max(0, width), max(0, height)


def _active(what: str) -> Refused:
    return Refused("FILE_ACTIVE_CONTENT", f"the drawing carries {what}")
