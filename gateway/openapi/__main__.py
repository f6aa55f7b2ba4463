"""``python -m gateway.openapi PATH`` writes the document; with ``--check`` a stale one fails."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.openapi.document import text


def main(arguments: list[str]) -> int:
    """Writes the document, or checks the file."""
    path = Path(arguments[-1])
    if arguments[0] != "--check":
        path.write_text(text())
        return 0
    if not path.exists() or path.read_text() != text():
        sys.stderr.write(f"{path} is stale: run make openapi\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
