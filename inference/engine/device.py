"""Where models run."""

from __future__ import annotations

import os

import torch


def default_device() -> torch.device:
    """The card where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def total_bytes(device: torch.device) -> int:
    """Memory of a card, or of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
