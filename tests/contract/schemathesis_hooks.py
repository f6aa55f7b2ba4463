"""What schemathesis is told about this API."""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """An empty id, as a quote or an entry without a job has it, would name another path."""
    for name, value in (case.path_parameters or {}).items():
        if value == "":
            case.path_parameters[name] = str(uuid.uuid4())
