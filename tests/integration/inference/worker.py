"""A serverless worker, given jobs by its contract."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deploy.local import stack, triton
from deploy.local.layout import ROOT, Layout, environment_bin

_ENGINE = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "HF_HUB_OFFLINE")


class Worker:
    """The handler in a process of its own.

    Args:
        process: Reads jobs and writes what becomes of them, a line each.
        log: What it says beside that.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log
        self._ids = itertools.count(1)
        self._said: dict[str, asyncio.Queue[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Hands every line to whoever began its job."""
        assert self._process.stdout
        async for line in self._process.stdout:
            said = json.loads(line)
            self._said[said.pop("id")].put_nowait(said)

    async def begin(self, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yields progress, and at the end the output; whoever leaves before gives the job up."""
        name = str(next(self._ids))
        self._said[name] = asyncio.Queue()
        await self._write({"id": name, "input": json.loads(json.dumps(asked, default=file))})
        done = False
        try:
            while not done:
                said = await self._said[name].get()
                done = "progress" not in said
                yield said
        finally:
            if not done:
                await self._write({"cancel": name})

    async def job(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Returns how many steps were told of, and the output."""
        said = [each async for each in self.begin(asked)]
        return len(said) - 1, said[-1]

    async def _write(self, said: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        await self._process.stdin.drain()


def file(pixels: np.ndarray) -> str:
    """A picture as jobs carry it."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def environment(layout: Layout, models: Path) -> dict[str, str]:
    """What a worker is told: as many threads as Triton's engine has, so that sums are alike."""
    beside = triton.inference_part(layout, stack.service_environment(layout, "inference"))
    told = {name: beside.environment[name] for name in _ENGINE}
    return told | {"ATELIER_MODELS_DIR": str(models), "ATELIER_DEFAULT_MODEL": "sdxl"}


@asynccontextmanager
async def open_worker(layout: Layout, **settings: str) -> AsyncIterator[Worker]:
    """A worker with the models of an installation, and settings of its own."""
    log = layout.logs / "serverless.log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            str(environment_bin(".venv-models") / "python"),
            "-m",
            "tests.integration.inference.serverless_jobs",
            cwd=ROOT,
            env=environment(layout, layout.data / "models") | settings,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=written,
            limit=1 << 24,
        )
    worker = Worker(process, log)
    listening = asyncio.create_task(worker.listen())
    try:
        yield worker
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()
        await listening
