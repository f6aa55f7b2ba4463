"""Files that must not get in: made by a script, the same every time, small on disk."""

from __future__ import annotations

from tests.integration.security.hostile import documents, lies, pictures, vectors
from tests.integration.security.hostile.case import Hostile


def corpus() -> list[Hostile]:
    """Returns every hostile file."""
    return [*lies.cases(), *pictures.cases(), *documents.cases(), *vectors.cases()]
