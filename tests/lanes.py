"""Which tests share a lane when several run beside each other (``pytest -n``).

What uses the one whole installation shares one; the rest goes by folder, so that a folder's servers
and databases are made once. Groups of xdist would say the same, but their marks are not seen with
pytest 9.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

INSTALLATION = ("tests/acceptance", "tests/contract", "tests/faults")
# Folders of which each file is a group: they share nothing that takes long to make.
APART = ("tests/integration", "tests/machines")
# What takes minutes, the longest first. Begun last, as few tests as it may be, one of these would
# keep one lane busy when the others have nothing left to do.
LONG = (
    "installation",
    "tests/machines/test_money_machine.py",
    "tests/integration/inference",
    "tests/unit/inference",
    "tests/k8s",
    "tests/machines/test_jobs_machine.py",
    "tests/integration/test_run.py",
    "tests/unit/training",
    "tests/unit/bench",
)


class Lanes(LoadScopeScheduling):
    """Hands out whole groups of tests, the longest first and then the largest.

    A test that took its lane down with it, as one does that hangs, is not handed out again.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        self._fatal: set[str] = set()

    def remove_node(self, node: WorkerController) -> str | None:
        units = self.assigned_work[node].values()
        undone = (test for unit in units for test, done in unit.items() if not done)
        self._fatal |= set(itertools.islice(undone, 1))
        return super().remove_node(node)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        for name, unit in list(self.workqueue.items()):
            unit.update(dict.fromkeys(self._fatal & unit.keys(), True))
            if all(unit.values()):
                del self.workqueue[name]
        if not self.workqueue:
            node.shutdown()
            return
        self.workqueue.move_to_end(first_of(self.workqueue), last=False)
        super()._assign_work_unit(node)


def first_of(groups: Iterable[str]) -> str:
    """Returns which of the groups that are left is begun next; they come by their size."""
    return min(groups, key=lambda name: LONG.index(name) if name in LONG else len(LONG))


def group(nodeid: str) -> str:
    """Returns the group of a test: the installation, its file, or its folder below tests/."""
    path = PurePosixPath(nodeid.partition("::")[0])
    folder = str(path.parent)
    if folder.startswith(INSTALLATION):
        return "installation"
    return str(path) if folder in APART else folder
