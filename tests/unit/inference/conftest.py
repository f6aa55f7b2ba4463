"""What the engine did; in a process of its own because torch lives in another environment."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from deploy.local.layout import ROOT, environment_bin

CHECKS_SECONDS = 900


@pytest.fixture(scope="session")
def found() -> dict[str, Any]:
    """The findings of ``engine_checks``, by the name of the check."""
    checks = subprocess.run(
        [environment_bin(".venv-models") / "python", "-m", "tests.unit.inference.engine_checks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECKS_SECONDS,
        check=False,
    )
    assert checks.returncode == 0, checks.stderr
    return dict(json.loads(checks.stdout))
