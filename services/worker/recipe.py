"""How a work was made, as it is kept with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from workflow.graph import Node
from workflow.specs import Type

_TOLD = (Type.TEXT, Type.INTEGER, Type.NUMBER, Type.JSON)


def assemble(nodes: Iterable[Node], results: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the text, number and JSON outputs of every checkpointed node, as one JSON object.

    An output stands under its own name ("prompt", "seed", "writer"); where two nodes give the same
    name different values, the second one's is under ``node.name``.
    """
    recipe: dict[str, Any] = {}
    for node in nodes:
        if not node.spec.checkpoint:
            continue
        for name, kind in node.spec.outputs.items():
            value = results[node.id].get(name)
            if kind not in _TOLD:
                continue
            if recipe.setdefault(name, value) != value:
                recipe[f"{node.id}.{name}"] = value
    return json.dumps(recipe, ensure_ascii=False)
