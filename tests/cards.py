"""Whether there is a card for what needs one: asked in one place, by tests and benches alike.

torch itself is asked, in the environment that has it: a driver may be there without a card, a card
without a torch that can use it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from deploy.local.layout import ROOT, environment_bin

ASKED_SECONDS = 120
_ASK = (
    "import json, torch; there = torch.cuda.is_available(); "
    "free, total = torch.cuda.mem_get_info() if there else (0, 0); "
    "name = torch.cuda.get_device_name() if there else ''; "
    "print(json.dumps([name, free / 1e9, total / 1e9, torch.__version__]))"
)


class Card(NamedTuple):
    """The first card as torch sees it; without a card the name is empty.

    Attributes:
        name: As its driver says.
        free_gb: Memory that nobody holds, in 10^9 bytes.
        total_gb: All of its memory, in 10^9 bytes.
        torch: The version of torch that was asked, with its build ("+cpu"); empty: nobody was.
    """

    name: str
    free_gb: float
    total_gb: float
    torch: str


@cache
def card() -> Card:
    """Looks for a card; where no driver is, without starting torch."""
    if shutil.which("nvidia-smi") is None and not Path("/dev/nvidiactl").exists():
        return Card("", 0.0, 0.0, "")
    asked = subprocess.run(
        [environment_bin(".venv-models") / "python", "-c", _ASK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=ASKED_SECONDS,
        check=True,
    )
    return Card(*json.loads(asked.stdout))


def missing(needs_gb: float, found: Card) -> str:
    """Why something that needs so much free memory of a card cannot run; empty: it can."""
    if found.name and found.free_gb >= needs_gb:
        return ""
    wish = f"needs a card with {needs_gb:g} GB free"
    if found.name:
        return f"{wish}: {found.name} has {found.free_gb:.0f} of {found.total_gb:.0f} GB free"
    if found.torch:
        return f"{wish}: there is a driver, but torch {found.torch} sees no card"
    return f"{wish}: there is none here"
