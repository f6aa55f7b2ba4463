"""Crash points: named places at which a test lets a process be killed.

Each stands where a crash would leave work half done. In production none is armed and a point costs
one comparison.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path


class CrashPoints:
    """The one point at which this process is to die, if any."""

    def __init__(self) -> None:
        self._armed = ""
        self._passes_left = 0

    def arm(self, order: str) -> None:
        """Chooses the point.

        Args:
            order: Its name and, after a space, at which pass to die (1 where it is left out);
                empty: none.
        """
        self._armed, _, passes = order.strip().partition(" ")
        self._passes_left = int(passes or 1)

    def obey(self, order_file: Path) -> None:
        """Arms the point that a file orders; a missing file means none."""
        self.arm(order_file.read_text() if order_file.exists() else "")

    def __call__(self, name: str) -> None:
        """Kills this process, as ``kill -9`` does, where the point is armed."""
        if self._armed and name == self._armed:
            self._passes_left -= 1
            if self._passes_left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


crash_point = CrashPoints()
