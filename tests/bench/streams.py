"""What an idle live stream costs: memory of the gateway and of jobs, and CPU while nothing happens.

``python -m tests.bench streams``; BENCH_STREAMS says how many. Nothing is asserted.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import tempfile
from pathlib import Path

import httpx

from deploy.local import layout, stack
from deploy.local.layout import Layout
from deploy.local.supervisor import Supervisor
from tests.bench.record import Record, cpu_seconds
from tests.studio import Studio

STREAMS = int(os.environ.get("BENCH_STREAMS", "2000"))
IDLE_SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
AT_ONCE = 50
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PARTS = ("gateway", "jobs")


async def bench() -> list[Record]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    data = Path(tempfile.mkdtemp(prefix="atelier-bench-"))
    data.chmod(0o755)
    places = layout.prepare(data)
    try:
        async with Supervisor(places.logs) as supervisor:
            await _start(supervisor, places)
            return await _measured(supervisor, places)
    finally:
        shutil.rmtree(data)
        shutil.rmtree(places.run, ignore_errors=True)


async def _start(supervisor: Supervisor, places: Layout) -> None:
    await stack.start_stores(supervisor, places)
    settings = {"ATELIER_STREAMS_PER_CALLER_MAX": str(STREAMS), "ATELIER_RATE_MEMBER": "off"}
    services = [stack.service_part(places, name, settings) for name in layout.SERVICES]
    await supervisor.start([*services, stack.gateway_part(places, settings)])


async def _measured(supervisor: Supervisor, places: Layout) -> list[Record]:
    async with httpx.AsyncClient(base_url=places.gateway_url, timeout=60, trust_env=False) as http:
        member = await Studio(http).sign_up()
    before = {part: _resident_bytes(supervisor.pid(part)) for part in _PARTS}
    token = member.headers["authorization"]
    head = f"GET /v1/events HTTP/1.1\r\nhost: bench\r\nauthorization: {token}\r\n\r\n"
    writers = await _open(places.ports["gateway"], head.encode())
    after = {part: _resident_bytes(supervisor.pid(part)) for part in _PARTS}
    used = {part: cpu_seconds([supervisor.pid(part)]) for part in _PARTS}
    await asyncio.sleep(IDLE_SECONDS)
    records = []
    for part in _PARTS:
        spent = cpu_seconds([supervisor.pid(part)]) - used[part]
        kilobytes = (after[part] - before[part]) / STREAMS / 1024
        name = f"streams: {STREAMS} idle, {part}"
        records += [
            Record(f"{name}, memory", after[part] / 2**20, "MiB"),
            Record(f"{name}, memory of each", kilobytes, "KiB"),
            Record(f"{name}, CPU", spent / IDLE_SECONDS * 1e3, "ms/s"),
        ]
    for writer in writers:
        writer.close()
    return records


async def _open(port: int, head: bytes) -> list[asyncio.StreamWriter]:
    """Opens all streams and waits for the first event of each."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one() -> asyncio.StreamWriter:
        async with turn:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            await reader.readuntil(b"event: open")
            return writer

    return await asyncio.gather(*(one() for _ in range(STREAMS)))


def _resident_bytes(pid: int) -> int:
    """Of the process and of the one below it: parts run below a launcher."""
    return sum(
        int(Path(f"/proc/{each}/statm").read_text().split()[1]) * _PAGE_BYTES for each in _all(pid)
    )


def _all(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]
