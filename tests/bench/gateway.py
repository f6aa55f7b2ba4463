"""CPU time of the gateway for one work and for a page of 24, beside FastAPI doing the same.

Both stand before the same gRPC server and are asked over the same kept connections, in turns. What
is counted is the CPU time of the gateway's process alone: HTTP, JSON and its half of the gRPC call.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import orjson
from atelier.works.v1 import works_pb2

from deploy.local.layout import ROOT, environment_bin
from gateway import encoding
from kit.identity import Kind, Signer, create_key, publish_keys
from tests.acceptance.doors import free_port
from tests.bench._upstream import PAGE, work
from tests.bench.record import Record
from tests.studio import eventually

CONNECTIONS = 16
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
REQUESTS = int(os.environ.get("BENCH_OPERATIONS", "2000"))
PEER = "FastAPI, grpc.aio and MessageToDict on uvicorn"
ENVIRONMENT = ROOT / "build" / "bench-fastapi"
_SAME = ("grpcio", "protobuf", "googleapis-common-protos", "uvicorn", "uvloop", "httptools")
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_WORK = f"/v1/works/{uuid.uuid4()}"
_PAGE = f"/v1/works?limit={PAGE}"


@dataclass(frozen=True)
class Server:
    """A gateway that runs."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:13]) * _TICK_SECONDS


async def bench() -> list[Record]:
    async with AsyncExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="atelier-bench-")))
        upstream = f"unix:{folder}/upstream.sock"
        await running.enter_async_context(_process("-m", "tests.bench._upstream", upstream))
        token = _keys(folder)
        ours = await running.enter_async_context(_ours(folder, upstream))
        peer = await running.enter_async_context(_peer(upstream))
        records = []
        for name, path in (("one work", _WORK), (f"a page of {PAGE}", _PAGE)):
            records += await _compared(name, path, ours, peer, token)
        return records


async def _compared(name: str, path: str, ours: Server, peer: Server, token: str) -> list[Record]:
    """Measures in turns; the split is ours: without the call, the JSON alone, and what is left."""
    for server in (ours, peer):
        await _cpu_us(server, "GET", path, token, REQUESTS // 4)
    mine, theirs, bare = [], [], []
    for _ in range(ROUNDS):
        mine.append(await _cpu_us(ours, "GET", path, token, REQUESTS))
        theirs.append(await _cpu_us(peer, "GET", path, token, REQUESTS))
        bare.append(await _cpu_us(ours, "OPTIONS", path, token, REQUESTS))
    ratio = median(a / b for a, b in zip(mine, theirs, strict=True))
    total, http, json = median(mine), median(bare), _json_us(path)
    grpc = total - http - json
    return [
        Record(f"gateway: {name}", total, "us", PEER, ratio, total),
        Record(f"gateway: {name}, the peer", median(theirs), "us"),
        Record(f"gateway: {name}, of it HTTP", http, "us"),
        Record(f"gateway: {name}, of it JSON", json, "us"),
        Record(f"gateway: {name}, of it the gRPC call and the rest", grpc, "us"),
    ]


async def _cpu_us(server: Server, verb: str, path: str, token: str, requests: int) -> float:
    """Sends requests over kept connections; returns the server's CPU time of one."""
    head = (
        f"{verb} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n".encode()
    )
    before = server.cpu_seconds()
    each = requests // CONNECTIONS
    await asyncio.gather(*(_ask(server.port, head, each) for _ in range(CONNECTIONS)))
    return (server.cpu_seconds() - before) / (each * CONNECTIONS) * 1e6


async def _ask(port: int, head: bytes, times: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204")):
            raise RuntimeError(answer.decode())
        length = next(
            (line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length")),
            b"content-length: 0",
        )
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()


def _json_us(path: str) -> float:
    """Decoding the answer of the call and writing it as JSON, by itself."""
    message = works_pb2.ListWorksResponse(data=[work(number) for number in range(PAGE)])
    if path == _WORK:
        raw, kind = work(0).SerializeToString(), works_pb2.Work
    else:
        raw, kind = message.SerializeToString(), works_pb2.ListWorksResponse
    encode = encoding.encoder(kind.DESCRIPTOR)
    times, before = 1_000, time.process_time()
    for _ in range(times):
        orjson.dumps(encode(kind.FromString(raw)))
    return (time.process_time() - before) / times * 1e6


def _keys(folder: Path) -> str:
    create_key(folder, "accounts")
    publish_keys(folder)
    return Signer("accounts", folder).user_token(uuid.uuid4(), Kind.MEMBER, 3_600)


@asynccontextmanager
async def _ours(folder: Path, upstream: str) -> AsyncIterator[Server]:
    port = free_port()
    settings = {
        "ATELIER_SERVICE": "gateway",
        "ATELIER_KEYS_DIR": str(folder),
        "ATELIER_HTTP_PORT": str(port),
        "ATELIER_RATE_MEMBER": "read 100000000/1",
        **{
            f"ATELIER_{name}_TARGET": upstream
            for name in ("ACCOUNTS", "WORKS", "TEMPLATES", "JOBS")
        },
    }
    async with _process("-m", "gateway", environment=settings) as pid:
        await _answers(f"http://127.0.0.1:{port}/readyz")
        yield Server(pid, port)


@asynccontextmanager
async def _peer(upstream: str) -> AsyncIterator[Server]:
    await asyncio.to_thread(_install)
    port = free_port()
    command = ("-m", "uvicorn", "tests.bench._peer_fastapi:app", "--port", str(port))
    environment = {"UPSTREAM": upstream, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
    python = str(ENVIRONMENT / "bin" / "python")
    async with _process(*command, environment=environment, python=python) as pid:
        await _answers(f"http://127.0.0.1:{port}/openapi.json")
        yield Server(pid, port)


def _install() -> None:
    """Makes the peer's environment, with the versions of ours where both use a package."""
    if (ENVIRONMENT / ".ready").exists():
        return
    uv = str(environment_bin(".venv") / "uv")
    same = [f"{name}=={importlib.metadata.version(name)}" for name in _SAME]
    subprocess.run([uv, "venv", "-q", "--clear", str(ENVIRONMENT)], check=True)
    target = ("--python", str(ENVIRONMENT / "bin" / "python"))
    subprocess.run([uv, "pip", "install", "-q", *target, "fastapi", *same], check=True)
    (ENVIRONMENT / ".ready").touch()


@asynccontextmanager
async def _process(
    *arguments: str, environment: Mapping[str, str] | None = None, python: str = sys.executable
) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        python,
        *arguments,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:

        async def look() -> bool:
            try:
                return (await http.get(url)).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(look)
