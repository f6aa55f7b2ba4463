"""``make run`` as an operator sees it: it serves, Ctrl-C ends it, data survives."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.local import demo
from tests.conftest import MODELS

START_SECONDS = 300.0


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Runs the installation and gives the gateway's address."""
    environment = {
        **os.environ,
        "ATELIER_DATA": str(data),
        "ATELIER_MODELS_DIR": str(MODELS.folder),
        "ATELIER_HTTP_PORT": "1",  # taken or forbidden: another one is chosen and printed
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "run"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            printed = b""
            while not (found := re.search(rb"studio\s+(http://\S+)/\n", printed)):
                line = await process.stdout.readline()
                assert line, printed.decode()
                printed += line
        yield found.group(1).decode(), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def children_of(process: asyncio.subprocess.Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


async def none_left(found: list[psutil.Process]) -> None:
    _, left = await asyncio.to_thread(psutil.wait_procs, found, 120)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


async def test_it_serves_ends_on_ctrl_c_keeps_its_data_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(tempfile.mkdtemp(prefix="atelier-run-"))
    data.chmod(0o755)
    try:
        async with (
            serving(data) as (url, process),
            httpx.AsyncClient(base_url=url, timeout=60) as http,
        ):
            for page in (
                "/",
                "/studio/studio.js",
                "/docs",
                "/docs/errors",
                "/openapi.json",
                "/readyz",
            ):
                assert (await http.get(page)).status_code == 200, page
            body = {"login_id": "the-one-who-stays", "password": "correct horse"}
            assert (await http.post("/v1/auth/signup", json=body)).status_code == 201
            advert = await demo.make_advert(url, tmp_path)
            assert advert.stat().st_size < 2_000_000
            receipt = capsys.readouterr().out.partition("receipt: ")[2]
            assert "held 12 {'purchased': 12}" in receipt
            assert "captured 12, released 0" in receipt
            second = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "deploy.local", "run"),
                env={**os.environ, "ATELIER_DATA": str(data)},
                stderr=asyncio.subprocess.PIPE,
            )
            _, complaint = await second.communicate()
            assert (second.returncode, b"in use by another" in complaint) == (2, True)
            started = children_of(process)
            assert len(started) > 10
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), 300) == 0
            await none_left(started)
        async with (
            serving(data) as (url, process),
            httpx.AsyncClient(base_url=url, timeout=60) as http,
        ):
            login = {"login": "the-one-who-stays", "password": "correct horse"}
            assert (await http.post("/v1/auth/login", json=login)).status_code == 200
            started = children_of(process)
            process.kill()
            await process.wait()
            await none_left(started)
    finally:
        shutil.rmtree(data)
