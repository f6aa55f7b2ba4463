"""Crash points: named places at which a test lets a process be killed.

Each stands where a crash would leave work half done. In production none is armed and a point costs
one comparison.
"""

from __future__ import annotations

import os
import signal


class CrashPoints:
    """The one point at which this process is to die, if any."""

    def __init__(self) -> None:
        self._armed = ""

    def arm(self, name: str) -> None:
        """Chooses the point; empty: none."""
        self._armed = name

    def __call__(self, name: str) -> None:
        """Kills this process, as ``kill -9`` does, where the point is armed."""
        if self._armed and name == self._armed:
            os.kill(os.getpid(), signal.SIGKILL)


crash_point = CrashPoints()
