"""Where models run."""

from __future__ import annotations

import torch


def default_device() -> torch.device:
    """The card where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
