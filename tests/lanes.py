"""Which tests share a lane when several run beside each other (``pytest -n``).

What uses the one whole installation shares one; the rest goes by folder, so that a folder's servers
and databases are made once. Groups of xdist would say the same, but their marks are not seen with
pytest 9.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

INSTALLATION = ("tests/acceptance", "tests/contract", "tests/faults")


class Lanes(LoadScopeScheduling):
    """Hands out whole groups of tests, the largest first."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    """Returns the group of a test: the installation, or its folder below tests/."""
    path = PurePosixPath(nodeid.partition("::")[0])
    folder = str(path.parent)
    if folder.startswith(INSTALLATION):
        return "installation"
    return str(path) if folder == "tests/integration" else folder
