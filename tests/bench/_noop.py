"""Runs a process of the house that knows one node more: ``noop@1``, which delivers at once.

``python -m tests.bench._noop services.worker``.
"""

from __future__ import annotations

import hashlib
import runpy
import sys
from typing import Any

from atelier.jobs.v1 import queue_pb2

from services.worker.nodes.registry import IMPLEMENTATIONS
from services.worker.nodes.run import Run, Values
from workflow.specs import SPECS, NodeSpec, Type

SPEC = NodeSpec("noop", 1, {}, {"delivery": Type.DELIVERY}, seconds=0.01)
TEMPLATE = {
    "id": "noop",
    "version": 1,
    "order": 1000,
    "title": {"ko": "없음", "en": "Nothing"},
    "description": {"ko": "아무것도 만들지 않습니다.", "en": "Makes nothing."},
    "category": "general",
    "variations_max": 1,
    "outputs": [
        {
            "work_type": "marketing_copy",
            "unit_credits": 1,
            "by_default": True,
            "per_variation": True,
        }
    ],
    "form_fields": [{"use": "text"}],
    "graph": {
        "nodes": {"nothing": {"type": SPEC.type, "inputs": {}}},
        "outputs": {"marketing_copy": "nothing"},
    },
}


async def deliver(values: Values, node: Run) -> dict[str, Any]:
    """Delivers a file that nobody has written."""
    file = queue_pb2.Artifact(
        object_key=f"works/{node.item.user_id}/{node.item.work_id}/{node.item.token}/nothing",
        content_type="application/json",
        size_bytes=1,
        sha256=hashlib.sha256(node.item.work_id.encode()).hexdigest(),
    )
    return {"delivery": queue_pb2.Delivery(file=file)}


if __name__ == "__main__":
    SPECS[SPEC.type] = SPEC  # type: ignore[index]
    IMPLEMENTATIONS[SPEC.type] = deliver  # type: ignore[index]
    runpy.run_module(sys.argv[1], run_name="__main__")
