"""The process that reads one file: limited, sealed, asked once, gone.

``python -I -m services.works.files.check ORDER`` with an order in JSON; see ``Checker``. It answers
in JSON, in the last of the open files that it was given, with exit status 0 also where it refuses.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict
from types import ModuleType
from typing import Any

from services.works.files.check import seal
from services.works.files.check.structure import sniff
from services.works.files.check.verdict import Limits, Refused, Task, too_complex

HEAD_BYTES = 256
_READERS = {"application/pdf": "documents", "image/svg+xml": "vectors"}


def main(argument: str) -> dict[str, Any]:
    """Does what an order says and returns the answer."""
    order = json.loads(argument)
    bounds = order["process"]
    seal.limit(
        bounds["memory_bytes"],
        bounds["cpu_seconds"],
        bounds["written_bytes"],
        bounds["descriptors"],
    )
    reader = _reader(order["content_type"])
    reader.warm_up()
    source, target, thumbnail, _ = order["places"]
    task = Task(
        order["content_type"],
        Limits(**order["limits"]),
        os.fdopen(source, "rb"),
        os.fdopen(target, "wb"),
        os.fdopen(thumbnail, "wb"),
    )
    memory, is_sealed = seal.open_memory(), seal.seal()
    try:
        answer = _judge(reader, task)
    except MemoryError:
        answer = _refusal(too_complex("the file takes more memory than it may"))
    return answer | {"is_sealed": is_sealed, "peak_bytes": seal.peak_bytes(memory)}


def _reader(content_type: str) -> ModuleType:
    """Imports what reads a type, and only that."""
    name = _READERS.get(content_type, "pictures")
    return importlib.import_module(f"services.works.files.check.{name}")


def _judge(reader: ModuleType, task: Task) -> dict[str, Any]:
    try:
        found = sniff(os.pread(task.source.fileno(), HEAD_BYTES, 0))
        if found != task.content_type:
            what = found or "none of the types that are taken"
            raise Refused("FILE_TYPE_MISMATCH", f"the bytes are {what}", found=what)
        return {"accepted": asdict(reader.check(task))}
    except Refused as refused:
        return _refusal(refused)


def _refusal(refused: Refused) -> dict[str, Any]:
    said = {"reason": refused.reason, "message": str(refused), "metadata": refused.metadata}
    return {"refused": said}


if __name__ == "__main__":
    os.pwrite(json.loads(sys.argv[1])["places"][-1], json.dumps(main(sys.argv[1])).encode(), 0)
    os._exit(0)  # nothing is left to be tidied up, and a sealed process could not
