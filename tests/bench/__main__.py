"""``python -m tests.bench [name ...]``: runs benches of this folder, or all of them.

A bench is a module with ``async def bench() -> list[Record]``.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path

from tests.bench import record


def main(names: list[str]) -> None:
    """Runs benches one after another."""
    here = Path(__file__).parent
    for name in names or sorted(file.stem for file in here.glob("[a-z]*.py")):
        module = importlib.import_module(f"tests.bench.{name}")
        if hasattr(module, "bench"):
            record.write(asyncio.run(module.bench()))


if __name__ == "__main__":
    main(sys.argv[1:])
