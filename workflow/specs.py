"""Node specs: what each kind of node takes, gives, needs and costs.

A spec never changes its meaning; a changed one is a new version, so that kept graphs and kept
results stay true.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Type(enum.StrEnum):
    """What travels between ports."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"
    IMAGE = "image"  # a picture, lossless, by object key or in memory
    FILE = "file"  # finished bytes with a MIME type
    DELIVERY = "delivery"  # stored for good: only an output node gives it


class Pool(enum.StrEnum):
    """Which workers can run a node, from the most common to the rarest."""

    CPU = "cpu"
    TEXT = "text"
    GPU = "gpu"


@dataclass(frozen=True)
class Input:
    """An input port.

    Attributes:
        type: What it takes.
        required: Whether it must be wired or given; else ``default`` is used.
        default: The value of an optional port that is not given.
        choices: The only values of a text port; empty: any.
    """

    type: Type
    required: bool = True
    default: object = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeSpec:
    """A kind of node.

    Attributes:
        name: Its name.
        version: Its version, from 1.
        inputs: Ports that it takes.
        outputs: Ports that it gives.
        pool: Where it runs.
        seconds: What it takes on an idle machine, for estimates.
        checkpoint: Whether its outputs are kept, so that a retry does not run it again; its
            outputs are then JSON values or object keys.
        timeout_seconds: After which a run of it fails with ``timeout``.
    """

    name: str
    version: int
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Type]
    pool: Pool = Pool.CPU
    seconds: float = 0.1
    checkpoint: bool = False
    timeout_seconds: float = 60.0
    summary: str = field(default="", compare=False)

    @property
    def type(self) -> str:
        """How graphs name it, for example ``generate@1``."""
        return f"{self.name}@{self.version}"


ASPECTS = ("1:1", "4:3", "3:4", "16:9", "9:16")
LANGUAGES = ("auto", "ko", "en")


def _optional(kind: Type, default: object, choices: tuple[str, ...] = ()) -> Input:
    return Input(kind, required=False, default=default, choices=choices)


_ALL = (
    NodeSpec(
        "prompt",
        1,
        {"text": Input(Type.TEXT), "style": _optional(Type.TEXT, "")},
        {
            "prompt": Type.TEXT,
            "negative_prompt": Type.TEXT,
            "dropped": Type.JSON,
            "writer": Type.TEXT,
        },
        pool=Pool.TEXT,
        seconds=0.5,
        checkpoint=True,
        summary="Turns plain text into a prompt for the image model.",
    ),
    NodeSpec(
        "copy",
        1,
        {
            "text": Input(Type.TEXT),
            "tone": _optional(Type.TEXT, ""),
            "language": _optional(Type.TEXT, "auto", LANGUAGES),
        },
        {"headline": Type.TEXT, "subline": Type.TEXT, "copy": Type.JSON, "writer": Type.TEXT},
        pool=Pool.TEXT,
        seconds=0.5,
        checkpoint=True,
        summary="Writes advert copy: headline, subline, body, call to action, hashtags.",
    ),
    NodeSpec(
        "chat",
        1,
        {
            "text": Input(Type.TEXT),
            "messages": _optional(Type.JSON, []),
            "max_tokens": _optional(Type.INTEGER, 1024),
            "temperature": _optional(Type.NUMBER, 1.0),
            "stop": _optional(Type.JSON, []),
        },
        {"answer": Type.JSON, "writer": Type.TEXT},
        pool=Pool.TEXT,
        seconds=2.0,
        checkpoint=True,
        timeout_seconds=180.0,  # a long answer of a slow endpoint; it is read token by token
        summary="Answers a conversation, token by token.",
    ),
    NodeSpec(
        "generate",
        1,
        {
            "prompt": Input(Type.TEXT),
            "negative_prompt": _optional(Type.TEXT, ""),
            "aspect": _optional(Type.TEXT, "1:1", ASPECTS),
            "seed": Input(Type.INTEGER),
            "steps": _optional(Type.INTEGER, 0),
            "model": _optional(Type.TEXT, ""),
        },
        {"image": Type.IMAGE, "model": Type.TEXT, "seed": Type.INTEGER, "steps": Type.INTEGER},
        pool=Pool.GPU,
        seconds=5.0,
        checkpoint=True,
        timeout_seconds=180.0,  # 60 s of sampling, which inference itself limits, and the queue
        summary="Draws a picture with the diffusion model.",
    ),
    NodeSpec(
        "resize",
        1,
        {
            "image": Input(Type.IMAGE),
            "aspect": _optional(Type.TEXT, "1:1", ASPECTS),
            "long_side": _optional(Type.INTEGER, 1080),
        },
        {"image": Type.IMAGE},
        summary="Crops to the aspect and scales so that the long side has this many pixels.",
    ),
    NodeSpec(
        "overlay",
        1,
        {
            "image": Input(Type.IMAGE),
            "headline": Input(Type.TEXT),
            "subline": _optional(Type.TEXT, ""),
            "position": _optional(Type.TEXT, "bottom", ("top", "bottom")),
        },
        {"image": Type.IMAGE},
        summary="Lays text over a picture in a Korean font, readable on any background.",
    ),
    NodeSpec(
        "encode",
        1,
        {
            "image": Input(Type.IMAGE),
            "format": _optional(Type.TEXT, "jpeg", ("jpeg", "png")),
            "quality": _optional(Type.INTEGER, 85),
            "bytes_max": _optional(Type.INTEGER, 2_000_000),
        },
        {"file": Type.FILE},
        summary="Encodes a picture; a JPEG's quality is lowered until it fits.",
    ),
    NodeSpec(
        "document",
        1,
        {"data": Input(Type.JSON)},
        {"file": Type.FILE},
        summary="Writes data as a JSON file.",
    ),
    NodeSpec(
        "store",
        1,
        {"file": Input(Type.FILE)},
        {"delivery": Type.DELIVERY},
        summary="Stores a finished file, with a thumbnail where it is a picture.",
    ),
)

SPECS: Mapping[str, NodeSpec] = {spec.type: spec for spec in _ALL}
