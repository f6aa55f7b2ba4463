"""How many cores this process may use, which in a container is fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cores(root: Path = _CGROUP) -> int:
    """Returns at least 1: the cores that it is let run on, or fewer where a quota says so.

    Args:
        root: Where the control group of this process is mounted (v2, else v1's cpu controller).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(root)
    return max(1, min(allowed or 1, math.ceil(quota) if quota else allowed or 1))


def _quota(root: Path) -> float | None:
    """Cores' worth of time in each period; None: as much as there is."""
    said = _read(root / "cpu.max").split()
    if not said:
        files = (root / "cpu" / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
        said = [word for file in files for word in _read(file).split()]
    if len(said) != 2 or not said[0].isdecimal() or not int(said[1]):
        return None  # "max", or -1: no quota
    return int(said[0]) / int(said[1])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""
