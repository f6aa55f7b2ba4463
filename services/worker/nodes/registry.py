"""Which module runs which node; a test holds it and workflow/specs.py together."""

from __future__ import annotations

from collections.abc import Mapping

from services.worker.nodes import (
    chat,
    copy,
    document,
    encode,
    generate,
    overlay,
    prompt,
    resize,
    store,
)
from services.worker.nodes.run import Implementation

IMPLEMENTATIONS: Mapping[str, Implementation] = {
    "prompt@1": prompt.run,
    "copy@1": copy.run,
    "chat@1": chat.run,
    "generate@1": generate.run,
    "resize@1": resize.run,
    "overlay@1": overlay.run,
    "encode@1": encode.run,
    "document@1": document.run,
    "store@1": store.run,
}
