"""Writes the hostile files: ``python -m tests.integration.security.hostile FOLDER``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.integration.security.hostile import corpus

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for number, case in enumerate(corpus()):
    name = re.sub(r"[^a-z0-9]+", "-", case.name.lower())
    (folder / f"{number:03}-{name}-{case.reason.lower()}").write_bytes(case.data)
