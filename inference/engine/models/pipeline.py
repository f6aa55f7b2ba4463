"""A pipeline of diffusers from its folder, of which the engine calls the modules one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def read(
    kind: Any, directory: Path, device: torch.device, on_card: torch.dtype, **more: Any
) -> tuple[Any, torch.dtype]:
    """Reads a pipeline onto a device; nothing is downloaded and no code of the folder is run.

    Args:
        kind: The pipeline's class.
        directory: As diffusers saved it.
        device: Where it runs.
        on_card: Of its numbers on a card; elsewhere they are float32.
        more: What only this class takes.

    Returns:
        The pipeline, and the type of its numbers.
    """
    dtype = on_card if device.type == "cuda" else torch.float32
    made = kind.from_pretrained(
        directory,
        local_files_only=True,
        use_safetensors=True,
        dtype=dtype,
        low_cpu_mem_usage=False,  # the other way needs accelerate, which is not installed
        **more,
    )
    return made.to(device), dtype
