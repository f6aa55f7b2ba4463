"""Checks many files in as many processes, each limited and sealed, without starting each anew.

``python -m tests.integration.security.hostile.pool MEMORY_BYTES``: a line of JSON for every file of
the corpus. What the service starts for every file, this process forks; from the limits on both do
the same.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import ExitStack
from typing import Any

from services.works.files.check import documents, pictures, vectors
from services.works.files.check.__main__ import main
from tests.integration.security.hostile import corpus
from tests.integration.security.hostile.case import Hostile

LIMITS = {"bytes_max": 50 << 20, "pixels_max": 25_000_000, "side_max": 16_383, "pages_max": 2_000}


def check(case: Hostile, memory_bytes: int) -> dict[str, Any]:
    """Has one file checked; ``status`` is not 0 where its process died."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(4)]
        return {"name": case.name, "expected": case.reason, **_fork(case, files, memory_bytes)}


def _fork(case: Hostile, files: list[Any], memory_bytes: int) -> dict[str, Any]:
    files[0].write(case.data)
    files[0].flush()
    order = {
        "content_type": case.content_type,
        "limits": LIMITS,
        "places": [each.fileno() for each in files],
        "process": {
            "memory_bytes": memory_bytes,
            "cpu_seconds": 15,
            "written_bytes": LIMITS["bytes_max"] + 1,
            "descriptors": 16,
        },
    }
    child = os.fork()
    if not child:
        answer = json.dumps(main(json.dumps(order))).encode()
        os.pwrite(files[3].fileno(), answer, 0)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    files[3].seek(0)
    return {"status": status, **json.loads(files[3].read() or b"{}")}


if __name__ == "__main__":
    for reader in (documents, pictures, vectors):
        reader.warm_up()
    cases = corpus()
    memory = int(sys.argv[1])
    halves = [cases[0::2], cases[1::2]]
    # Two processes, as the service has two checks at once.
    second = os.fork()
    for each in halves[0 if second else 1]:
        sys.stdout.write(json.dumps(check(each, memory)) + "\n")
        sys.stdout.flush()
    if second:
        os.waitpid(second, 0)
