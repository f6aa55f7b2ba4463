"""What schemathesis is told about this API, and what it tells of its calls."""

from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

import schemathesis

# By operation, what there is (tests/contract/schemathesis_ground.py), and where calls are written.
KNOWN: dict[str, dict[str, Any]] = json.loads(os.environ.get("SCHEMATHESIS_KNOWN", "{}"))
DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text())
_IS_KEY = re.compile("[!-~]{1,255}")
CALLS = os.environ.get("SCHEMATHESIS_CALLS", os.devnull)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """In the first phase, what is asked for exists: what is made up later does not.

    Parts of an answer are not asked for, since schemas say the whole: test_openapi.py asks for
    every field. Fields that do not exist stay. An empty id, as a quote or an entry without a job
    has it, would name another path. What is made and then looked for is made anew: the answer to a
    key that was used may tell of what has gone since.
    """
    phase = case.meta.phase.name.value if case.meta else ""
    if phase == "examples":
        _make_known(case)
    if phase == "stateful" and _IS_KEY.fullmatch((case.headers or {}).get("Idempotency-Key", "")):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.query and _names_fields(case.operation.label, case.query.get("fields")):
        del case.query["fields"]
    for name, value in (case.path_parameters or {}).items():
        if value == "":
            case.path_parameters[name] = str(uuid.uuid4())


def _names_fields(label: str, given: Any) -> bool:
    """Whether fields are given and all of them exist."""
    verb, path = label.split(" ", 1)
    for each in DOCUMENT["paths"][path][verb.lower()]["parameters"]:
        if each["name"] == "fields" and given:
            name = each["schema"]["items"]["$ref"].rpartition("/")[2]
            named = given.split(",") if isinstance(given, str) else given
            allowed = DOCUMENT["components"]["schemas"][name]["enum"]
            return isinstance(named, list) and all(one in allowed for one in named)
    return False


def _make_known(case: Any) -> None:
    own = KNOWN.get(case.operation.label, {})
    known = {**KNOWN.get("", {}).get("path", {}), **own.get("path", {})}
    for name in case.path_parameters or {}:
        case.path_parameters[name] = known.get(name, case.path_parameters[name])
    if "body" in own:
        case.body = own["body"]


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Writes down how an operation was answered; other methods are tried at its path, too."""
    if case.method.upper() == case.operation.method.upper():
        with Path(CALLS).open("a") as file:
            file.write(f"{case.operation.label}\t{response.status_code}\n")
