"""document@1: data becomes a JSON file."""

from __future__ import annotations

import json
from typing import Any

from services.worker.nodes.run import FinishedFile, Run, Values


async def run(values: Values, node: Run) -> dict[str, Any]:  # noqa: ARG001
    """Writes UTF-8 that a person can read."""
    data = json.dumps(values["data"], ensure_ascii=False, indent=1).encode()
    return {"file": FinishedFile(data, "application/json", "json")}
