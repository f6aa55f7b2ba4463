from __future__ import annotations

import pytest

from tests.k8s import rendered
from tests.k8s.rendered import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The overlay of one node, rendered."""
    return rendered.overlay(tmp_path_factory.mktemp("k8s"))
